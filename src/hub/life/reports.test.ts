import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import type { Report } from "../../contract/report.ts";
import { deltaOf, type ReportDelta } from "../../contract/report-delta.ts";
import { call, openEvents, sendReport } from "../box-client.fake.ts";
import { addBox, addOperators, type LiveHub, startLiveHub, VIEWER } from "../live-hub.fake.ts";
import { reportOf } from "../store/store.fake.ts";

let hub: LiveHub;

beforeEach(async () => {
  hub = await startLiveHub();
  await addOperators(hub.store);
});

afterEach(() => hub.close());

const now = () => ({ nowMs: systemClock.wallMs() });

async function kindsOf(): Promise<string[]> {
  const { body } = await call(`${hub.origin}/v1/events?after=${await firstCursor()}`, { token: VIEWER });
  const kinds = (body as { items: { kind: string }[] }).items.map(({ kind }) => kind);
  // That a box came is told by another part, when it gets to it.
  return kinds.filter((kind) => kind !== "box.state");
}

/** What was told of starts: whether a box is online is told a moment later, or not yet. */
async function startsTold(): Promise<string[]> {
  return (await kindsOf()).filter((kind) => !kind.startsWith("box.state"));
}

async function firstCursor(): Promise<string> {
  const { cursor } = await hub.store.events.after(undefined, 1);
  return `${cursor.slice(0, cursor.lastIndexOf("."))}.0`;
}

test("a report is taken once; an earlier one and one of a followed agent change nothing", async () => {
  const key = await addBox(hub.store, "b");
  const send = async (session: string, sequence: number) =>
    (await sendReport(hub.origin, key, reportOf("b", session, sequence))).body;
  expect(await send("one", 2)).toEqual({ answer: "accepted", deltas: true });
  expect(await send("one", 1)).toEqual({ answer: "stale", deltas: true });
  expect(await send("two", 1)).toEqual({ answer: "accepted", deltas: true });
  expect(await send("one", 3)).toEqual({ answer: "superseded", deltas: true });
  expect((await hub.store.reports.get("b"))?.report).toMatchObject({ session: "two", sequence: 1 });
  expect(hub.live.presence.of("b").connection).toBe("online");
});

test("A25: a report for another box, with a path for an id, or of 100 MB is refused, and nothing of it is kept", async () => {
  const key = await addBox(hub.store, "b");
  await addBox(hub.store, "other");
  const url = `${hub.origin}/v1/boxes`;
  const forOther = { method: "POST", token: key, body: reportOf("other", "s", 1) };
  expect((await call(`${url}/other/report`, forOther)).status).toBe(403);
  expect(await call(`${url}/b/report`, forOther)).toMatchObject({ status: 403, body: { error: { field: "boxId" } } });
  const path: Report = { ...reportOf("b", "s", 1), workloads: [{ ...WORKLOAD, id: "../../etc" }] };
  expect(await sendReport(hub.origin, key, path)).toMatchObject({
    status: 400,
    body: { error: { field: "workloads[0].id" } },
  });
  const huge = call(`${url}/b/report`, {
    method: "POST",
    token: key,
    headers: { "content-type": "application/json", "content-length": String(100 * 1024 * 1024) },
    body: reportOf("b", "s", 1),
  });
  expect((await huge).status).toBe(413);
  expect(await hub.store.reports.get("b")).toBeUndefined();
  expect(await hub.store.reports.get("other")).toBeUndefined();
});

test("A2: a crash, a boot and a lost network are told apart", async () => {
  const key = await addBox(hub.store, "b");
  const report = (session: string, sequence: number, bootId: string) =>
    sendReport(hub.origin, key, { ...reportOf("b", session, sequence), bootId });
  await report("one", 1, "boot-1");
  await report("one", 9, "boot-1");
  expect(await startsTold()).toEqual(["box.first-report"]);
  await report("two", 1, "boot-1");
  expect(await startsTold()).toEqual(["box.first-report", "box.restarted"]);
  await report("three", 1, "boot-2");
  expect(await startsTold()).toEqual(["box.first-report", "box.restarted", "box.rebooted"]);
  // A lost network is neither: the same agent goes on counting, and nobody is told of a start.
  hub.live.presence.linked("b", true);
  hub.live.presence.linked("b", false);
  await report("three", 40, "boot-2");
  expect(await startsTold()).toEqual(["box.first-report", "box.restarted", "box.rebooted"]);
  expect((await hub.store.reports.get("b"))?.starts.map(({ bootId }) => bootId)).toEqual([
    "boot-2",
    "boot-1",
    "boot-1",
  ]);
});

test("A4: the answer to a command counts however often it comes, and the first one stays", async () => {
  const key = await addBox(hub.store, "b");
  await hub.store.commands.create("b", { id: "c", name: "x", args: {}, deadlineMs: now().nowMs + 9000 }, now());
  const answer = (sequence: number, text: string) =>
    sendReport(hub.origin, key, {
      ...reportOf("b", "s", sequence),
      commandResults: [
        { id: "c", ok: true, text, finishedAt: "2026-01-15T10:30:45Z" },
        { id: "unknown", ok: true, text, finishedAt: "2026-01-15T10:30:45Z" },
      ],
    });
  expect((await answer(1, "first")).status).toBe(202);
  expect((await answer(2, "second")).status).toBe(202);
  expect(await hub.store.commands.list("b", now().nowMs)).toMatchObject([{ id: "c", state: "done", answer: "first" }]);
});

test("A18: a lost report costs nothing: the next one is the whole picture, with the history of what went by", async () => {
  const key = await addBox(hub.store, "b");
  await sendReport(hub.origin, key, reportOf("b", "s", 1));
  const gap = { start: "2026-01-15T10:00:00Z", end: "2026-01-15T10:00:07Z", seconds: 7, cause: "source-stalled" };
  const incident = { kind: "uplink", cause: "no route", start: "2026-01-15T10:00:00Z" };
  const report: Report = {
    ...reportOf("b", "s", 5),
    incidents: [incident],
    occurrences: [{ at: gap.end, kind: "gap", workloadId: "cam", text: "gap", gap }],
    workloads: [WORKLOAD],
  };
  await sendReport(hub.origin, key, report);
  await sendReport(hub.origin, key, {
    ...report,
    sequence: 6,
    incidents: [{ ...incident, end: "2026-01-15T10:01:00Z" }],
  });
  expect(await hub.store.history.get("b")).toMatchObject({
    incidents: [{ kind: "uplink", endMs: Date.parse("2026-01-15T10:01:00Z") }],
    gaps: [{ workloadId: "cam", cause: "source-stalled" }],
  });
});

test("A18: a report that is too large is refused with what is allowed, and the largest that an agent sends is taken", async () => {
  const key = await addBox(hub.store, "b");
  const workloads = (count: number) =>
    Array.from({ length: count }, (_one, at) => ({ ...WORKLOAD, id: `cam-${at}`, description: "x".repeat(900) }));
  const bytesOf = (report: Report) => Buffer.byteLength(JSON.stringify(report));
  const report = { ...reportOf("b", "s", 1), workloads: workloads(900) };
  const large = {
    ...report,
    workloads: [{ ...WORKLOAD, description: "y".repeat(1024 * 1024 - bytesOf(report) - 1000) }, ...report.workloads],
  };
  expect(bytesOf(large)).toBeLessThanOrEqual(1024 * 1024);
  const refused = await sendReport(hub.origin, key, { ...report, sequence: 2, workloads: workloads(2400) });
  expect(refused).toMatchObject({ status: 413, body: { error: { code: "too-large" } } });
  expect((await sendReport(hub.origin, key, { ...large, sequence: 3 })).body).toMatchObject({ answer: "accepted" });
});

test("A17: a box whose disk is full goes on being heard, and what it says of it is kept", async () => {
  const key = await addBox(hub.store, "b");
  const incident = { kind: "disk-full", cause: "no space left", start: "2026-01-15T10:00:00Z" };
  const report: Report = {
    ...reportOf("b", "s", 1),
    registry: { durable: false, reason: "no space left on device" },
    incidents: [incident],
  };
  expect((await sendReport(hub.origin, key, report)).status).toBe(202);
  expect((await hub.store.reports.get("b"))?.report.registry).toEqual(report.registry);
  expect((await hub.store.history.get("b")).incidents).toMatchObject([{ kind: "disk-full" }]);
});

test("A8: two machines with one identity are both cut and kept away, until a person decides", async () => {
  const key = await addBox(hub.store, "b");
  const first = await openEvents(`${hub.origin}/v1/boxes/b/events`, { token: key });
  await first.until(() => true);
  await sendReport(hub.origin, key, reportOf("b", "one", 1));
  await sendReport(hub.origin, key, reportOf("b", "two", 1));
  const second = await openEvents(`${hub.origin}/v1/boxes/b/events`, { token: key });
  await second.until(() => true);
  await first.closed;
  await sendReport(hub.origin, key, reportOf("b", "one", 2));
  await systemClock.delay(3100);
  await sendReport(hub.origin, key, reportOf("b", "two", 2));
  await sendReport(hub.origin, key, reportOf("b", "one", 3));
  await second.closed;
  expect((await hub.store.boxes.get("b"))?.quarantine?.reason).toContain("cloned identity");
  expect(await kindsOf()).toContain("box.quarantined");
  using held = await openEvents(`${hub.origin}/v1/boxes/b/events`, { token: key });
  expect(await held.until(() => true)).toMatchObject({ name: "hold", data: { reason: "quarantined" } });
  await hub.store.boxes.update("b", { quarantine: null }, now());
  expect(await held.until(({ name }) => name === "expected")).toBeDefined();
});

test("A9: a box whose clock shows 1970 is judged by the hub's clock alone", async () => {
  const key = await addBox(hub.store, "b");
  await sendReport(hub.origin, key, { ...reportOf("b", "s", 1), sentAt: "1970-01-01T00:00:00Z" });
  const { connection, lastContactMs } = hub.live.presence.of("b");
  expect(connection).toBe("online");
  expect(Math.abs((lastContactMs ?? 0) - systemClock.wallMs())).toBeLessThan(10_000);
});

const WORKLOAD: Report["workloads"][number] = {
  id: "cam",
  kind: "stream",
  description: "a → b",
  state: "running",
  generation: 1,
  restarts: 0,
  since: "2026-01-15T10:00:00Z",
};

test("a delta on the last report is taken for the whole, by another hub of the store too", async () => {
  const key = await addBox(hub.store, "b");
  await using other = await startLiveHub({ store: hub.store });
  const one: Report = {
    ...reportOf("b", "s", 1),
    workloads: [
      { ...WORKLOAD, id: "a" },
      { ...WORKLOAD, id: "c" },
    ],
  };
  const two: Report = {
    ...reportOf("b", "s", 2),
    workloads: [{ ...WORKLOAD, id: "a", state: "stalled", cause: "why" }],
  };
  await sendReport(hub.origin, key, one);
  const sent = await sendReport(other.origin, key, deltaFor(one, two));
  expect([sent.status, sent.body]).toEqual([202, { answer: "accepted", deltas: true }]);
  expect((await hub.store.reports.get("b"))?.report).toEqual(two);
  expect(await kindsOf()).toContain("workload.state");
  expect((await sendReport(hub.origin, key, deltaFor(one, two))).body).toMatchObject({
    error: { code: "base-unknown" },
  });
});

test("A18: a delta whose base is not the last report here is answered with a code, and the whole mends it", async () => {
  const key = await addBox(hub.store, "b");
  const one = reportOf("b", "s", 1);
  const two: Report = { ...reportOf("b", "s", 2), dropped: 3 };
  const refused = await sendReport(hub.origin, key, deltaFor(one, two));
  expect(refused).toMatchObject({ status: 409, body: { error: { code: "base-unknown", field: "base" } } });
  expect(await hub.store.reports.get("b")).toBe(undefined);
  expect((await sendReport(hub.origin, key, two)).status).toBe(202);
  expect((await sendReport(hub.origin, key, deltaFor({ ...one, session: "t" }, { ...two, session: "t" }))).status).toBe(
    409,
  );
  expect(
    (await sendReport(hub.origin, key, { ...deltaFor(two, { ...two, sequence: 3 }), boxId: "other" })).status,
  ).toBe(403);
  expect((await hub.store.reports.get("b"))?.report).toEqual(two);
});

test("a base that an earlier release has stored is none", async () => {
  const key = await addBox(hub.store, "b");
  const one = reportOf("b", "s", 1);
  await sendReport(hub.origin, key, one);
  const stored = await hub.store.reports.get("b");
  expect(stored?.format).toMatch(/^[0-9a-f]{16}$/);
  const { format: _format, ...older } = stored ?? { format: "" };
  const follow = hub.store.reports.follow.bind(hub.store.reports);
  hub.store.reports.follow = (boxId, build, nowMs) => follow(boxId, () => build(older as typeof stored), nowMs);
  expect((await sendReport(hub.origin, key, deltaFor(one, reportOf("b", "s", 2)))).status).toBe(409);
});

test("reports that grow by deltas end at the bound of one report", async () => {
  const key = await addBox(hub.store, "b");
  const many = (count: number, sequence: number): Report => ({
    ...reportOf("b", "s", sequence),
    workloads: Array.from({ length: count }, (_, n) => ({ ...WORKLOAD, id: `w${n}`, description: "x".repeat(10_000) })),
  });
  expect((await sendReport(hub.origin, key, many(150, 1))).status).toBe(202);
  const grown = await sendReport(hub.origin, key, deltaFor(many(150, 1), many(250, 2)));
  expect(grown).toMatchObject({ status: 413, body: { error: { code: "too-large" } } });
});

function deltaFor(base: Report, next: Report): ReportDelta {
  const delta = deltaOf(base, next);
  if (delta === undefined) throw new TypeError("there is a delta");
  return delta;
}
