import { expect, test } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { createMemoryLog } from "../base/log.ts";
import { createCommandRunner } from "./command-runner.ts";

function createWorld() {
  const clock = createFakeClock();
  const results: { id: string; ok: boolean; text: string }[] = [];
  let runs = 0;
  const runner = createCommandRunner({
    clock,
    log: createMemoryLog(),
    commands: {
      count: async () => `${++runs}`,
      fail: () => Promise.reject(new TypeError("no")),
    },
    onResult: ({ id, ok, text }) => void results.push({ id, ok, text }),
  });
  const run = (name: string, id = "c1", deadlineMs: number | undefined = undefined) =>
    runner.run({ kind: "command", id, name, args: {}, deadlineMs });
  return { clock, results, run };
}

test("a command is done once, however often it comes", async () => {
  const { results, run } = createWorld();
  await run("count");
  await run("count");
  await run("count", "c2");
  expect(results).toEqual([
    { id: "c1", ok: true, text: "1" },
    { id: "c2", ok: true, text: "2" },
  ]);
});

test("a command is never done after its deadline", async () => {
  const { clock, results, run } = createWorld();
  await run("count", "late", clock.wallMs() - 1);
  await run("count", "early", clock.wallMs() + 1);
  expect(results.map(({ ok, text }) => [ok, text])).toEqual([
    [false, "it came after its deadline"],
    [true, "1"],
  ]);
});

test("a command that fails or that nobody knows is answered too", async () => {
  const { results, run } = createWorld();
  await run("fail", "c1");
  await run("constructor", "c2");
  expect(results).toMatchObject([
    { ok: false, text: "no" },
    { ok: false, text: "name: this agent has no such command; it has count, fail" },
  ]);
});
