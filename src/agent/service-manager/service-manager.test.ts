import { afterEach, expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { AppError } from "../../base/errors.ts";
import { createMemoryLog } from "../../base/log.ts";
import { createProgressWatch } from "../../base/progress-watch.ts";
import { createServiceManager } from "./service-manager.ts";
import { statusLine } from "./status-line.ts";

const stops: AbortController[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort();
});

function start(watchdogMs: number | undefined, ready: Promise<void> = Promise.resolve()) {
  const clock = createFakeClock();
  const log = createMemoryLog();
  const sent: Record<string, string>[] = [];
  const world = { line: "no workloads; link live", fails: false };
  const progress = createProgressWatch({ graceMs: 10_000 }, { clock });
  const stop = new AbortController();
  stops.push(stop);
  const done = createServiceManager({
    clock,
    log,
    pid: 42,
    socket: {
      watchdogMs,
      send: async (assignments) => {
        if (world.fails) throw new AppError("unavailable", "nobody listens");
        sent.push({ ...assignments });
      },
    },
    progress,
    ready,
    statusLine: () => world.line,
  }).run(stop.signal);
  return { clock, log, sent, world, progress, stop, done };
}

test("says READY with the main PID only once the agent is ready", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { clock, sent } = start(60_000, promise);
  await clock.advance(30_000);
  expect(sent).toEqual([]);
  resolve();
  await clock.advance(0);
  expect(sent[0]).toEqual({ READY: "1", MAINPID: "42", STATUS: "no workloads; link live", WATCHDOG: "1" });
});

test("repeats READY and the status until they are delivered", async () => {
  const { clock, sent, world } = start(60_000);
  world.fails = true;
  await clock.advance(25_000);
  world.fails = false;
  await clock.advance(20_000);
  expect(sent).toEqual([{ READY: "1", MAINPID: "42", STATUS: "no workloads; link live", WATCHDOG: "1" }]);
});

test("feeds the watchdog three times in its time, and repeats the status only when it changes", async () => {
  const { clock, sent, world } = start(60_000);
  await clock.advance(39_000);
  world.line = "1 workload: 1 running; link live";
  await clock.advance(21_000);
  expect(sent).toEqual([
    { READY: "1", MAINPID: "42", STATUS: "no workloads; link live", WATCHDOG: "1" },
    { WATCHDOG: "1" },
    { STATUS: "1 workload: 1 running; link live", WATCHDOG: "1" },
    { WATCHDOG: "1" },
  ]);
});

test("a loop behind a promise that never settles stops the feeding, is named once, and feeding resumes with it", async () => {
  const { clock, sent, progress, log } = start(60_000);
  const stuck = progress.loop("reconciler");
  const { promise, resolve } = Promise.withResolvers<void>();
  stuck.advance(5000);
  const loop = promise.then(() => stuck.advance(600_000));
  await clock.advance(100_000);
  const fed = sent.filter((assignments) => "WATCHDOG" in assignments).length;
  expect(fed).toBe(1);
  expect(log.lines.filter((line) => line.startsWith("[ERROR]"))).toEqual([
    "[ERROR] Not advancing: reconciler for 20 s (allowed 15 s); the watchdog is not fed",
  ]);
  resolve();
  await loop;
  await clock.advance(20_000);
  expect(sent.at(-1)).toMatchObject({ WATCHDOG: "1" });
  expect(log.lines.at(-1)).toBe("[INFO] Every loop advances again");
});

test("says STOPPING at the end", async () => {
  const { clock, sent, stop, done } = start(undefined);
  await clock.advance(1000);
  stop.abort();
  await done;
  expect(sent.at(-1)).toEqual({ STOPPING: "1", STATUS: "Stopping" });
});

test("a service manager that cannot be reached is said once and stops nothing", async () => {
  const { clock, log, world, stop, done } = start(3000);
  await clock.advance(0);
  world.fails = true;
  await clock.advance(60_000);
  expect(log.lines).toEqual(["[WARN] The service manager cannot be told how the agent is: nobody listens"]);
  stop.abort();
  await done;
});

test("without a service manager nothing happens until the end", async () => {
  const stop = new AbortController();
  const clock = createFakeClock();
  const log = createMemoryLog();
  const done = createServiceManager({
    clock,
    log,
    pid: 1,
    socket: undefined,
    progress: { overdue: () => [] },
    ready: Promise.resolve(),
    statusLine: () => "never asked",
  }).run(stop.signal);
  await clock.advance(100_000);
  expect(clock.pending()).toBe(0);
  stop.abort();
  await done;
});

test.each([
  { states: [], link: "off", line: "no workloads; not configured (set link.endpoint)" },
  { states: ["running"], link: "live", line: "1 workload: 1 running; link live" },
  {
    states: ["waiting", "running", "running"],
    link: "degraded",
    line: "3 workloads: 2 running, 1 waiting; link degraded",
  },
] as const)("$states behind a link that is $link read: $line", ({ states, link, line }) => {
  expect(statusLine({ link: { state: link }, workloads: states.map((state) => ({ state })) })).toBe(line);
});
