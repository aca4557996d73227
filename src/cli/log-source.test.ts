import { expect, test } from "vitest";
import { chooseLogSource } from "./log-source.ts";

const wish = { names: [], saysLocal: false, saysHub: false, knowsHub: true };

test("without a name it is this machine's own agent, whoever else is known", () => {
  expect(chooseLogSource(wish)).toEqual({ kind: "local", id: "agent" });
});

test("a name is a box where a hub is known, and a workload of this machine where none is", () => {
  expect(chooseLogSource({ ...wish, names: ["north-1"] })).toEqual({
    kind: "hub",
    box: "north-1",
    workload: undefined,
  });
  expect(chooseLogSource({ ...wish, names: ["cam-1"], knowsHub: false })).toEqual({ kind: "local", id: "cam-1" });
});

test("box and workload are always the hub's, and `agent` is the box's own log", () => {
  const names = ["north-1", "cam-1"];
  expect(chooseLogSource({ ...wish, names, knowsHub: false })).toEqual({
    kind: "hub",
    box: "north-1",
    workload: "cam-1",
  });
  expect(chooseLogSource({ ...wish, names: ["north-1", "agent"] })).toMatchObject({ workload: undefined });
});

test("--local asks this machine, whatever hub is known", () => {
  expect(chooseLogSource({ ...wish, names: ["cam-1"], saysLocal: true })).toEqual({ kind: "local", id: "cam-1" });
});

test.each([{ saysLocal: true, saysHub: true }, { saysLocal: true, names: ["a", "b"] }, { saysHub: true }])(
  "what contradicts itself is refused: %j",
  (part) => {
    expect(() => chooseLogSource({ ...wish, ...part })).toThrow(/^(--local|BOX): /);
  },
);
