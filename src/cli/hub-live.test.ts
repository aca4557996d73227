import { mkdtemp, rm } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { systemClock } from "../base/clock.ts";
import { formatWallTime } from "../base/log.ts";
import { type EventClient, openEvents } from "../hub/box-client.fake.ts";
import { startTestHub, type TestHub } from "../hub/hub-world.fake.ts";
import { createTestContext, type TestContext } from "./command-context.fake.ts";
import { runProgram } from "./program.ts";

let home: string;
let hub: TestHub;
let key: string;
let box: EventClient;
const stops: AbortController[] = [];

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "sluice-live-cli-"));
  hub = await startTestHub();
  key = await hub.enrol("north-1");
});
afterAll(async () => {
  await hub.close();
  await rm(home, { recursive: true });
});
beforeEach(async () => {
  box = await openEvents(`${hub.origin}/v1/boxes/north-1/events`, { token: key });
  await box.until(() => true);
});
afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort();
  box.close();
});

function start(line: string, terminal: Parameters<typeof createTestContext>[1] = {}) {
  const stop = new AbortController();
  stops.push(stop);
  const context = createTestContext(home, {
    ...terminal,
    signal: stop.signal,
    env: { SLUICE_HUB: hub.origin, SLUICE_HUB_TOKEN: hub.tokens.operator },
  });
  return { context, stop, ended: runProgram(line.split(" "), context) };
}

async function eventually(context: TestContext, isSo: (out: string) => boolean): Promise<void> {
  for (let turn = 0; turn < 4000 && !isSo(context.out()); turn++) await systemClock.delay(10);
  expect(isSo(context.out()), context.out() + context.err()).toBe(true);
}

/** Waits until the box is asked for a log, and sends these records as it. */
async function upload(records: readonly object[], { from = 0, isLast = true } = {}): Promise<Record<string, unknown>> {
  const { data } = await box.until(({ name }) => name === "command", { from });
  const { args } = data as { args: Record<string, unknown> };
  const url = `${hub.origin}/v1/boxes/north-1/log-streams/${String(args["stream"])}`;
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/x-ndjson" };
  const request = httpRequest(url, { method: "POST", headers, agent: false });
  request.on("error", () => undefined);
  request.on("response", (response) => response.resume());
  request.write(records.map((record) => `${JSON.stringify(record)}\n`).join(""));
  if (isLast) request.end();
  return args;
}

const line = (text: string) => ({ type: "line", source: "agent", text });

test("the last lines of a box come through the hub, with what was lost on the way", async () => {
  const { context, ended } = start("logs north --tail 2 --since 1h");
  const gap = { type: "gap", lines: 3, reason: "the file was rotated away" };
  const args = await upload([line("one"), gap, line("two"), { type: "end", reason: "all was read" }]);
  expect(args).toMatchObject({ tail: 2, follow: false, since: expect.stringMatching(/^\d{4}-.*Z$/) });
  expect(await ended).toBe(0);
  expect(context.out()).toBe("one\ntwo\n");
  expect(context.err()).toBe("sluice: 3 lines missing here: the file was rotated away\n");
});

test("a session's lines bear their output, and one of its outputs can be asked for alone", async () => {
  const { context, ended } = start("logs north player --stderr");
  const at = "2026-01-15T10:30:45.000Z";
  const said = (text: string) => ({ type: "line", at, source: "player", output: "stderr", text });
  const gap = { type: "gap", at, bytes: 12, reason: "stderr: more came than the log takes" };
  const records = [{ ...said("long"), continues: true }, said("\\x1b[31mred"), gap];
  expect(await upload([...records, { type: "end", reason: "all was read" }])).toMatchObject({ output: "stderr" });
  expect(await ended).toBe(0);
  const time = formatWallTime(Date.parse(at));
  expect(context.out()).toBe(`[${time}] [stderr+] long\n[${time}] [stderr] \\x1b[31mred\n`);
  expect(context.err()).toBe("sluice: 12 bytes missing here: stderr: more came than the log takes\n");
});

test("a log that is followed goes on until it is interrupted", async () => {
  const { context, stop, ended } = start("logs north-1 cam-1 -f");
  expect(await upload([line("one")], { isLast: false })).toMatchObject({ workload: "cam-1", follow: true });
  await eventually(context, (out) => out === "one\n");
  stop.abort();
  expect(await ended).toBe(0);
});

test("a log that ends under its reader's hands says why", async () => {
  const { context, ended } = start("logs north-1 -f --json");
  await upload([line("one"), { type: "end", reason: "the agent stops" }]);
  expect(await ended).toBe(69);
  expect(
    context
      .out()
      .trim()
      .split("\n")
      .map((text) => JSON.parse(text)),
  ).toMatchObject([
    { type: "line", text: "one" },
    { type: "end", reason: "the agent stops" },
  ]);
  expect(context.err()).toBe("sluice: the log of north-1 ends here: the agent stops\n");
});

test("events are followed as they happen, and listed afterwards", async () => {
  const { context, ended, stop } = start("events -f");
  await systemClock.delay(200);
  expect(await start("box label north-1 zone=a").ended).toBe(0);
  await eventually(context, (out) => out.includes("north-1"));
  stop.abort();
  expect(await ended).toBe(0);
  const list = start("events --limit 1000 --json");
  expect(await list.ended).toBe(0);
  expect(JSON.parse(list.context.out()).items.length).toBeGreaterThan(0);
});

test("--watch shows a change soon after it happened, and ends when told to", async () => {
  const { context, stop, ended } = start("stream ls --watch --json");
  await eventually(context, (out) => out.includes('"items":[]'));
  const args = ["stream", "start", "north-1/cam-1", "-i", "rtsp://cam/1", "-o", "rtmp://host/live/k"];
  expect(await start(args.join(" ")).ended).toBe(0);
  await eventually(context, (out) => out.includes('"cam-1"'));
  stop.abort();
  expect(await ended).toBe(0);
});
