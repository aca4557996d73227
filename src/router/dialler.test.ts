import { afterEach, beforeEach, expect, it } from "vitest";
import { systemClock } from "../base/clock.ts";
import type { Carrier } from "../remote/carrier.ts";
import { createRouterDialler, type RouterDialler } from "../remote/router-dialler.ts";
import { listen, ROUTER_ID, type RouterUnderTest, startRouter, ticketFor } from "./router.fake.ts";

let world: RouterUnderTest;
const diallers: RouterDialler[] = [];
beforeEach(async () => {
  world = await startRouter();
});
afterEach(async () => {
  for (const dialler of diallers.splice(0)) dialler.close();
  await world.close();
});

function join(side: "operator" | "box", sid = "s-1"): Promise<Carrier> {
  const dialler = createRouterDialler({ client: `${side}/1` }, { clock: systemClock, authorities: () => [] });
  diallers.push(dialler);
  const router = { id: ROUTER_ID, url: world.url };
  return dialler.join(
    { router, ticket: ticketFor({ side, sid }), traffic: "interactive", isSealed: false },
    {},
    new AbortController().signal,
  );
}

it("carries the frames of both ends of our own, of any size, and their end in order", async () => {
  const [operator, box] = await Promise.all([join("operator"), join("box")]);
  expect([operator.peerClient, box.peerClient, operator.routerId]).toEqual(["box/1", "operator/1", ROUTER_ID]);
  const atOperator = listen(operator);
  const atBox = listen(box);
  const sent = [1, 127, 128, 2048, 65_600, 1_000_000].map((length) => Buffer.alloc(length, 8));
  for (const frame of sent) operator.send([frame.subarray(0, 1), frame.subarray(1)]);
  operator.finish();
  expect((await atBox.end).reason).toBe("peer-done");
  expect(atBox.frames.map((frame, index) => frame.equals(sent[index] ?? Buffer.alloc(0)))).toEqual(
    sent.map(() => true),
  );
  box.finish();
  expect((await atOperator.end).reason).toBe("peer-done");
  await expect.poll(() => world.router.list()).toEqual([]);
});

it.each([
  ["the other end is cut", (other: Carrier) => other.cut(), /^peer-lost$/],
  ["the session is ended", () => world.router.terminate("s-1", "by bob"), /^terminated$/],
  ["the router drains", () => void world.router.drain(1000), /^draining$/],
])("tells our ends when %s", async (_, act, reason) => {
  const [operator, box] = await Promise.all([join("operator"), join("box")]);
  const atOperator = listen(operator);
  listen(box);
  act(box);
  expect((await atOperator.end).reason).toMatch(reason);
});

it("refuses our ends in words", async () => {
  await world.router.drain(1000);
  await expect(join("operator")).rejects.toMatchObject({ code: "unavailable" });
});
