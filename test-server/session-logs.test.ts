import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { followLog, type LogReading } from "../src/cli/follow-log.ts";
import { createLocalAgent } from "../src/client/local-agent.ts";
import type { LogRecord } from "../src/contract/fleet/log-line.ts";
import { createSessionBox } from "./session-box.ts";

/** Counts on both outputs, says how far it came when it is asked to end, and never speaks of another run. */
const COUNTING = `
i=0
trap 'echo "run $$ last $i"; exit 0' TERM
while :; do i=$((i+1)); echo "run $$ out $i"; echo "run $$ err $i" >&2; sleep 0.02; done`;

interface Heard {
  readonly records: readonly LogRecord[];
  readonly breaks: readonly string[];
  end(): Promise<void>;
}

function hear(read: (wish: LogReading, signal: AbortSignal) => AsyncIterable<LogRecord>): Heard {
  const stop = new AbortController();
  const records: LogRecord[] = [];
  const breaks: string[] = [];
  const deps = {
    clock: systemClock,
    read: (wish: LogReading) => read(wish, stop.signal),
    onBreak: (reason: string) => void breaks.push(reason),
  };
  const options = { first: { tail: 1000, since: undefined }, maxTail: 10_000, isSession: true };
  const done = (async () => {
    for await (const record of followLog(options, deps, stop.signal)) records.push(record);
  })().catch((thrown: unknown) => void breaks.push(`${String(thrown)} (not taken up again)`));
  return {
    records,
    breaks,
    end: async () => {
      stop.abort();
      await done;
    },
  };
}

/** By run and output: its numbers, in their order. */
function countsOf(records: readonly LogRecord[]): Map<string, number[]> {
  const counts = new Map<string, number[]>();
  for (const record of records) {
    if (record.type !== "line") continue;
    const [, run, kind = "", number] = /^run (\d+) (out|err|last) (\d+)$/.exec(record.text) ?? [];
    expect(run, record.text).toBeDefined();
    expect(record.output).toBe(kind === "err" ? "stderr" : "stdout");
    counts.set(`${run} ${kind}`, [...(counts.get(`${run} ${kind}`) ?? []), Number(number)]);
  }
  return counts;
}

test("A12: a session's lines are all read once, at the hub and on the box, across restarts of the agent and its own sleep", async () => {
  await using box = await createSessionBox("/bin/sh");
  const { life, client, command } = box;
  const { world } = life;
  const { boxId } = world;
  const spec = { id: "count", user: "anna", platform: "process", template: { command: ["/bin/sh", "-c", COUNTING] } };
  await command("StartSession", { spec, generation: 1 });
  const untilState = (state: string) => box.untilState("count", state);
  await untilState("running");

  const local = createLocalAgent({ socketPath: join(world.stateDir, "agent.sock") });
  const query = { follow: true, output: undefined };
  const onBox = hear((wish, signal) =>
    local.logRecords("count", { lines: wish.tail, since: wish.since, ...query }, signal),
  );
  const atHub = hear((wish, signal) => client.logs(boxId, { workload: "count", ...wish, ...query }, signal));
  const heard = [onBox, atHub];
  const untilMore = async (lines = 40) => {
    const before = heard.map(({ records }) => records.length);
    await world.until(() => heard.every(({ records }, index) => records.length > (before[index] ?? 0) + lines), "more");
  };
  await untilMore();

  await world.killAgent("SIGKILL");
  await systemClock.delay(300);
  await world.startAgent();
  await untilMore();
  await command("HibernateSession", { id: "count", generation: 2 });
  await untilState("hibernated");
  await world.killAgent("SIGTERM");
  await world.startAgent();
  await box.untilOnline();
  await command("WakeSession", { id: "count", generation: 3 });
  await untilState("running");
  await untilMore();
  await command("HibernateSession", { id: "count", generation: 4 });
  await untilState("hibernated");

  const runs = (one: Heard) => [...countsOf(one.records).keys()].filter((name) => name.endsWith("last"));
  await world.until(() => heard.every((one) => runs(one).length === 2), "the last words of both runs");
  for (const one of heard) {
    await one.end();
    expect(one.records.filter(({ type }) => type !== "line")).toEqual([]);
    expect(one.breaks.length).toBeGreaterThanOrEqual(2);
    const counts = countsOf(one.records);
    for (const [name, [last = 0]] of [...counts].filter(([key]) => key.endsWith("last"))) {
      const all = Array.from({ length: last }, (_, index) => index + 1);
      expect(counts.get(name.replace("last", "out"))).toEqual(all);
      expect(counts.get(name.replace("last", "err"))).toEqual(all);
    }
  }
  const tail = await life.sluice("logs", "--local", "count", "--tail", "3", "--stderr");
  expect(tail.trim().split("\n")).toHaveLength(3);
  expect(tail).not.toContain("[stdout]");
  const records = await life.sluice("logs", boxId, "count", "--since", "1h", "--stdout", "--json");
  expect(records.match(/"output":"stdout"/g)?.length).toBe(
    atHub.records.filter((record) => record.type === "line" && record.output === "stdout").length,
  );
}, 120_000);
