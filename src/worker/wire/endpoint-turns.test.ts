import { expect, test } from "vitest";
import { createEndpointTurns } from "./endpoint-turns.ts";

const ENDPOINTS = [{ address: "10.0.0.1:1" }, { address: "10.1.0.1:1" }];

function begin() {
  const time = { nowMs: 0 };
  const turns = createEndpointTurns({ monotonicMs: () => time.nowMs });
  const order = (worker = "w") =>
    turns.inTurn(worker, ENDPOINTS).map(({ address }) => ENDPOINTS.findIndex((one) => one.address === address));
  return { time, turns, order };
}

test("connections are spread over all networks of a worker, the best first", () => {
  const { turns, order } = begin();
  const uses = [];
  const taken = [];
  for (let count = 0; count < 4; count++) {
    const [first = 0] = order();
    taken.push(first);
    uses.push(turns.use("w", ENDPOINTS[first]?.address ?? ""));
  }
  expect(taken).toEqual([0, 1, 0, 1]);
  uses[1]?.over(false);
  uses[1]?.over(false);
  expect(order()[0]).toBe(1);
  expect(order("another")).toEqual([0, 1]);
});

test("a network that broke comes last for a while, and where all broke the one that did so first", () => {
  const { time, turns, order } = begin();
  turns.use("w", "10.0.0.1:1").over(true);
  expect(order()).toEqual([1, 0]);
  time.nowMs = 1000;
  turns.use("w", "10.1.0.1:1").over(true);
  expect(order()).toEqual([0, 1]);
  time.nowMs = 30_000;
  expect(order()).toEqual([0, 1]);
  time.nowMs = 31_000;
  turns.use("w", "10.0.0.1:1").over(true);
  expect(order()).toEqual([1, 0]);
});
