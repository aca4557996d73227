import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import { createMemoryLog } from "../base/log.ts";
import { type CommandAction, createCommandRunner } from "./command-runner.ts";
import { type CommandResult, openCommandJournal } from "./registry/command-journal.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-commands-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** One agent's runner over the journal that the agents of this directory share. */
function startAgent(given: { readonly actions?: Record<string, CommandAction>; readonly file?: string } = {}) {
  const life = new AbortController();
  const results: CommandResult[] = [];
  const server = { nowMs: 1_000_000 };
  let runs = 0;
  const journal = openCommandJournal(given.file ?? join(directory, "commands.json"), {
    clock: systemClock,
    log: createMemoryLog(),
    signal: life.signal,
  });
  const runner = createCommandRunner({
    clock: systemClock,
    log: createMemoryLog(),
    journal,
    serverNowMs: () => server.nowMs,
    commands: {
      count: async () => `${++runs}`,
      fail: () => Promise.reject(new TypeError("no")),
      hang: (_args, signal) =>
        new Promise((_resolve, reject) =>
          signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
        ),
      ...given.actions,
    },
    onResult: (result) => void results.push(result),
  });
  const done = runner.run(life.signal);
  const take = async (name: string, id: string, deadlineMs?: number) => {
    await runner.take({ kind: "command", id, name, args: {}, deadlineMs });
    await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    server,
    results,
    journal,
    take,
    runs: () => runs,
    told: () => results.map(({ id, ok, text }) => [id, ok, text]),
    stop: async () => {
      life.abort(new AppError("cancelled", "stop"));
      await done;
    },
  };
}

test("A3: a command is done once, however often it comes, and its answer may be told again", async () => {
  const agent = startAgent();
  await Promise.all([agent.take("count", "c1"), agent.take("count", "c1")]);
  await agent.take("count", "c1");
  await agent.take("count", "c2");
  expect(agent.runs()).toBe(2);
  expect(new Map(agent.told().map(([id, , text]) => [id, text]))).toEqual(
    new Map([
      ["c1", "1"],
      ["c2", "2"],
    ]),
  );
  await agent.stop();
});

test("the next agent does not do again what an earlier one did, and tells what came of it", async () => {
  const first = startAgent();
  await first.take("count", "c1");
  await first.stop();
  const second = startAgent();
  await second.take("count", "c1");
  expect(second.runs()).toBe(0);
  expect(second.told()).toEqual([
    ["c1", true, "1"],
    ["c1", true, "1"],
  ]);
  second.journal.told(["c1"]);
  await second.stop();
  const third = startAgent();
  expect(third.told()).toEqual([]);
  await third.stop();
});

test("A4: what was cut off by the end of an agent is answered by the next one, and not done again", async () => {
  const first = startAgent();
  await first.take("hang", "c1");
  expect(JSON.parse(await readFile(join(directory, "commands.json"), "utf8")).data).toEqual([
    { id: "c1", name: "hang", isTold: false },
  ]);
  await first.stop();
  expect(first.told()).toEqual([]);
  const second = startAgent({ actions: { hang: () => Promise.reject(new TypeError("done twice")) } });
  await second.take("hang", "c1");
  const [answer] = second.told();
  expect(answer).toEqual(["c1", false, expect.stringContaining("the agent ended while it did this")]);
  expect(JSON.stringify(second.told())).not.toContain("done twice");
  await second.stop();
});

test("A5: a command is never done after its deadline, by the server's clock", async () => {
  const agent = startAgent();
  await agent.take("count", "late", agent.server.nowMs);
  await agent.take("count", "early", agent.server.nowMs + 1);
  expect(agent.told()).toEqual([
    ["late", false, "it came after its deadline and was not done"],
    ["early", true, "1"],
  ]);
  await agent.stop();
});

test("a command whose deadline passes while it is written down is not done", async () => {
  const agent = startAgent();
  const taken = agent.take("count", "c1", agent.server.nowMs + 1);
  agent.server.nowMs += 10;
  await taken;
  expect(agent.told()).toEqual([["c1", false, "it came after its deadline and was not done"]]);
  await agent.stop();
});

test("a command that fails, that nobody knows or that is too much is answered too", async () => {
  const agent = startAgent();
  await agent.take("fail", "c1");
  await agent.take("constructor", "c2");
  for (let index = 0; index < 16; index++) await agent.take("hang", `h${index}`);
  await agent.take("count", "c3");
  expect(agent.told()).toEqual([
    ["c1", false, "no"],
    ["c2", false, "name: this agent has no such command; it has count, fail, hang"],
    ["c3", false, "16 commands are being done already; it takes no more"],
  ]);
  await agent.stop();
});

test("what records itself does not wait for the journal, which holds it and its answer in memory alone", async () => {
  const life = new AbortController();
  const begun: string[] = [];
  const written = Promise.withResolvers<void>();
  const done = (name: string) => async () => {
    begun.push(name);
    return "";
  };
  const file = join(directory, "commands.json");
  const journal = openCommandJournal(file, { clock: systemClock, log: createMemoryLog(), signal: life.signal });
  const runner = createCommandRunner({
    clock: systemClock,
    log: createMemoryLog(),
    journal: { ...journal, begin: () => written.promise },
    serverNowMs: () => 0,
    commands: { recorded: done("recorded"), count: done("count") },
    recordsItself: (name) => name === "recorded",
    onResult: () => {},
  });
  const taken = ["count", "recorded", "recorded"].map((name) =>
    runner.take({ kind: "command", id: name, name, args: {}, deadlineMs: undefined }),
  );
  expect(begun).toEqual(["recorded"]);
  written.resolve();
  await Promise.all(taken);
  expect(begun).toEqual(["recorded", "count"]);
  const running = runner.run(life.signal);
  life.abort(new AppError("cancelled", "stop"));
  await running;
  expect(journal.get("recorded")).toMatchObject({ result: { ok: true }, isTold: false });
  expect(JSON.parse(await readFile(file, "utf8")).data).toMatchObject([{ id: "count" }]);
});

test("with a disk that takes nothing commands are still done, and once by this agent", async () => {
  const agent = startAgent({ file: join(directory, "no", "such", "directory", "commands.json") });
  await agent.take("count", "c1");
  await agent.take("count", "c1");
  expect(agent.runs()).toBe(1);
  await agent.stop();
});

test("whatever is repeated, reordered, late or cut off: at most once, never late, and every command has one answer", async () => {
  const ids = ["a", "b", "c", "d", "e"];
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant("take" as const), id: fc.constantFrom(...ids) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("restart" as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 400 }) }) },
  );
  let round = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const file = join(directory, `property-${++round}.json`);
      const effects: { readonly id: string; readonly atMs: number }[] = [];
      const answers = new Map<string, Set<string>>();
      let nowMs = 1_000_000;
      const deadlineOf = (id: string) => 1_000_000 + (ids.indexOf(id) + 1) * 100;
      const act = (id: string): CommandAction => {
        return async () => {
          effects.push({ id, atMs: nowMs });
          return `did ${id}`;
        };
      };
      const actions = Object.fromEntries(ids.map((id) => [id, act(id)]));
      const collect = ({ results }: ReturnType<typeof startAgent>) => {
        for (const { id, ok, text } of results) answers.set(id, (answers.get(id) ?? new Set()).add(`${ok} ${text}`));
      };
      let agent = startAgent({ actions, file });
      const taken = new Set<string>();
      for (const one of steps) {
        agent.server.nowMs = nowMs;
        if (one.kind === "take") {
          taken.add(one.id);
          await agent.take(one.id, one.id, deadlineOf(one.id));
        } else if (one.kind === "pass") nowMs += one.ms;
        else {
          await agent.stop();
          collect(agent);
          agent = startAgent({ actions, file });
        }
      }
      await agent.stop();
      collect(agent);
      expect(new Set(effects.map(({ id }) => id)).size).toBe(effects.length);
      for (const { id, atMs } of effects) expect(atMs).toBeLessThan(deadlineOf(id));
      expect(new Set(answers.keys())).toEqual(taken);
      for (const [, told] of answers) expect(told.size).toBe(1);
    }),
    { numRuns: 40 },
  );
});
