import { describe, expect, it } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createMemoryLog } from "../../base/log.ts";
import type { WorkloadStatus } from "../../contract/local-status.ts";
import { type Report, reportSchema } from "../../contract/report.ts";
import type { QueueFile } from "./queue-file.ts";
import { createReporter, type ReporterDeps, type ReportPicture } from "./reporter.ts";

const PICTURE: ReportPicture = {
  boxId: "north-1",
  bootId: "boot",
  agentVersion: "0.1.0",
  verdict: "restart",
  applied: { epoch: "e", revision: 4 },
  link: {
    state: "live",
    endpoint: "http://hub.test/",
    since: "2026-01-15T10:30:45Z",
    attempts: 0,
    connects: 1,
    events: 2,
    badEvents: {},
  },
  workloads: [],
};
const occurrence = (text: string) => ({ at: "2026-01-15T10:30:45Z", kind: "exit", text });

function createMemoryFile(): QueueFile & { text: string | undefined; writes: number } {
  const file = {
    text: undefined as string | undefined,
    writes: 0,
    read: async () => file.text,
    append: async (text: string) => {
      file.writes++;
      file.text = (file.text ?? "") + text;
    },
    replace: async (text: string) => {
      file.writes++;
      file.text = text;
    },
    remove: async () => {
      file.writes++;
      file.text = undefined;
    },
  };
  return file;
}

async function startWorld(
  deps: Partial<ReporterDeps> = {},
  endpoint: string | undefined = "http://hub.test/v1/boxes/north-1/report",
) {
  const clock = createFakeClock();
  const log = createMemoryLog();
  const reports: Report[] = [];
  const requests: { readonly url: string; readonly init: RequestInit | undefined; readonly atMs: number }[] = [];
  const answers: (() => Response | Promise<Response>)[] = [];
  const queueFile = createMemoryFile();
  const reporter = createReporter(
    { endpoint, intervalMs: 15_000 },
    {
      fetch: async (url, init) => {
        requests.push({ url: String(url), init, atMs: clock.monotonicMs() });
        const response = (await answers.shift()?.()) ?? new Response(null, { status: 204 });
        init?.signal?.throwIfAborted();
        const body: unknown = JSON.parse(String(init?.body));
        if (response.ok && reportSchema.safeParse(body).success) reports.push(reportSchema.parse(body));
        return response;
      },
      clock,
      random: () => 1 - 1e-9,
      log,
      token: async () => "secret-token",
      snapshot: () => PICTURE,
      session: "session-1",
      queueFile,
      ...deps,
    },
  );
  const abort = new AbortController();
  const done = reporter.run(abort.signal);
  await clock.advance(0);
  return {
    clock,
    log,
    reports,
    requests,
    queueFile,
    reporter,
    answerNext: (...more: (() => Response | Promise<Response>)[]) => void answers.push(...more),
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      await done;
    },
  };
}

const fails =
  (status: number, headers: Record<string, string> = {}) =>
  () =>
    new Response("no", { status, headers });

describe("reporter", () => {
  it("sends a whole picture at the start and at each interval, with the token in the header", async () => {
    await using world = await startWorld();
    await world.clock.advance(250);
    await world.clock.advance(15_000);
    await world.clock.advance(15_000);
    expect(world.reports.map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
    expect(world.reports[0]).toMatchObject({
      version: 1,
      session: "session-1",
      boxId: "north-1",
      applied: { revision: 4 },
      dropped: 0,
    });
    const headers = new Headers(world.requests[0]?.init?.headers);
    expect(headers.get("authorization")).toBe("Bearer secret-token");
    expect(headers.get("content-type")).toBe("application/json");
    expect(world.queueFile.writes).toBe(0);
  });

  it("makes one report of changes that come together, at once", async () => {
    await using world = await startWorld();
    await world.clock.advance(1000);
    for (let index = 0; index < 10; index++) world.reporter.changed();
    await world.clock.advance(25);
    expect(world.reports).toHaveLength(2);
    await world.clock.advance(1000);
    expect(world.reports).toHaveLength(2);
  });

  it("makes few reports of changes that do not end", async () => {
    await using world = await startWorld();
    for (let index = 0; index < 400; index++) {
      world.reporter.changed();
      await world.clock.advance(25);
    }
    // Eight at once, two more a second, and else four a second.
    expect(world.reports.length).toBeLessThan(8 + 20 + 40);
    await world.clock.advance(250);
    const { length } = world.reports;
    await world.clock.advance(5000);
    expect(world.reports).toHaveLength(length);
  });

  it("keeps occurrences and command results until they got through, and then forgets them", async () => {
    await using world = await startWorld();
    world.answerNext(fails(502), fails(502));
    await world.clock.advance(250);
    world.reporter.occurred(occurrence("cam-1 exited"));
    world.reporter.commandResult({ id: "c", ok: true, text: "done", finishedAt: "2026-01-15T10:30:45Z" });
    await world.clock.advance(100);
    expect(world.reporter.status()).toEqual({ state: "failing", queued: 2, dropped: 0, reason: "HTTP 502" });
    expect(world.queueFile.text?.split("\n")).toHaveLength(3);
    await world.clock.advance(5000);
    expect(world.reports[0]).toMatchObject({
      sequence: 3,
      occurrences: [{ text: "cam-1 exited" }],
      commandResults: [{ id: "c" }],
    });
    expect(world.reporter.status()).toEqual({ state: "ok", queued: 0, dropped: 0 });
    expect(world.queueFile.text).toBeUndefined();
    await world.clock.advance(20_000);
    expect(world.reports.at(-1)).toMatchObject({ occurrences: [], commandResults: [] });
  });

  it("sends what an earlier agent could not", async () => {
    const queueFile = createMemoryFile();
    queueFile.text = `{"kind":"dropped","value":3}\n${JSON.stringify({ kind: "occurrence", value: occurrence("old") })}\n{"kind":"occ`;
    await using world = await startWorld({ queueFile });
    await world.clock.advance(250);
    expect(world.reports[0]).toMatchObject({ occurrences: [{ text: "old" }], dropped: 3 });
    await world.clock.advance(15_000);
    expect(world.reports[1]).toMatchObject({ occurrences: [], dropped: 0 });
  });

  it("sends a long queue in parts, one after another", async () => {
    await using world = await startWorld();
    for (let index = 0; index < 450; index++) world.reporter.occurred(occurrence(String(index)));
    await world.clock.advance(2000);
    expect(world.reports.map(({ occurrences }) => occurrences.length)).toEqual([200, 200, 50]);
    expect(world.reports.flatMap(({ occurrences }) => occurrences.map(({ text }) => Number(text)))).toEqual(
      Array.from({ length: 450 }, (_, index) => index),
    );
  });

  it("gives up the one entry that the hub refuses, and no other", async () => {
    const poisoned = (init: RequestInit | undefined) => String(init?.body).includes("poison");
    const delivered: string[] = [];
    let dropped = 0;
    await using world = await startWorld({
      fetch: async (_url, init) => {
        if (poisoned(init)) return new Response("no", { status: 413 });
        const report = reportSchema.parse(JSON.parse(String(init?.body)));
        delivered.push(...report.occurrences.map(({ text }) => text));
        dropped += report.dropped;
        return new Response(null, { status: 204 });
      },
    });
    for (const text of ["a", "b", "poison", "c", "d"]) world.reporter.occurred(occurrence(text));
    for (let round = 0; round < 30; round++) await world.clock.advance(60_000);
    expect(delivered).toEqual(["a", "b", "c", "d"]);
    expect(dropped).toBe(1);
    expect(world.reporter.status()).toMatchObject({ state: "ok", queued: 0 });
  });

  it("backs off exponentially, logs only the two transitions, and sends the newest picture", async () => {
    await using world = await startWorld();
    world.answerNext(...Array.from({ length: 9 }, () => fails(500)));
    await world.clock.advance(400_000);
    const gaps = world.requests.slice(1, 10).map(({ atMs }, index) => atMs - (world.requests[index]?.atMs ?? 0));
    expect(gaps).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    expect(world.log.lines).toEqual([
      "[WARN] Reports do not get through: HTTP 500. Attempts go on",
      "[INFO] Reports get through again",
    ]);
  });

  it.each([401, 403, 404, 410])("waits long after %i", async (status) => {
    await using world = await startWorld();
    world.answerNext(fails(status), fails(status));
    await world.clock.advance(250 + 29_000);
    expect(world.requests).toHaveLength(1);
    await world.clock.advance(1500 + 59_000);
    expect(world.requests).toHaveLength(2);
    await world.clock.advance(2000);
    expect(world.reporter.status().state).toBe("ok");
  });

  it("honours Retry-After", async () => {
    await using world = await startWorld();
    world.answerNext(fails(503, { "retry-after": "20" }));
    await world.clock.advance(20 + 21_900);
    expect(world.requests).toHaveLength(1);
    await world.clock.advance(200);
    expect(world.requests).toHaveLength(2);
  });

  it("gives up waiting for an answer after 10 s, and follows no redirect", async () => {
    await using world = await startWorld({
      fetch: (_url, init) =>
        new Promise((_resolve, reject) => init?.signal?.addEventListener("abort", () => reject(init.signal?.reason))),
    });
    await world.clock.advance(250 + 10_000);
    expect(world.reporter.status()).toMatchObject({ state: "failing", reason: "no answer within 10 s" });
    await using other = await startWorld();
    other.answerNext(fails(307, { location: "http://elsewhere.test/" }));
    await other.clock.advance(250);
    expect(other.reporter.status().reason).toBe("HTTP 307");
    expect(other.requests.every(({ init }) => init?.redirect === "manual")).toBe(true);
  });

  it("survives a network that is away, a token that cannot be read and a picture that cannot be taken", async () => {
    const problems = [new TypeError("fetch failed"), undefined];
    const tokens = [new RangeError("no token file"), undefined, undefined, undefined];
    await using world = await startWorld({
      token: async () => {
        const problem = tokens.shift();
        if (problem !== undefined) throw problem;
        return "t";
      },
      snapshot: () => {
        const problem = problems.shift();
        if (problem !== undefined) throw problem;
        return PICTURE;
      },
    });
    await world.clock.advance(10_000);
    expect(world.reports.length).toBeGreaterThan(0);
    expect(world.log.lines[0]).toBe("[WARN] Reports do not get through: no token file. Attempts go on");
  });

  it("is off without an endpoint and queues nothing", async () => {
    const queueFile = createMemoryFile();
    await using world = await startWorld({ queueFile });
    const off = createReporter(
      { endpoint: undefined, intervalMs: 1 },
      { ...world, fetch, random: () => 0, token: async () => undefined, snapshot: () => PICTURE, session: "s" },
    );
    off.occurred(occurrence("x"));
    expect(off.status()).toEqual({ state: "off", queued: 0, dropped: 0 });
    expect(queueFile.writes).toBe(0);
  });

  it("goes on as another agent process when it is told to", async () => {
    await using world = await startWorld();
    await world.clock.advance(250);
    world.reporter.renewSession("session-2");
    await world.clock.advance(250);
    expect(world.reports.map(({ session, sequence }) => [session, sequence])).toEqual([
      ["session-1", 1],
      ["session-2", 1],
    ]);
  });

  it("sends again at once when its key was changed while a report was on its way", async () => {
    const tokens = ["old", "new", "new"];
    await using world = await startWorld({ token: async () => tokens.shift() ?? "new" });
    world.answerNext(fails(401));
    await world.clock.advance(250);
    expect(world.requests.map(({ init }) => new Headers(init?.headers).get("authorization"))).toEqual([
      "Bearer old",
      "Bearer new",
    ]);
    expect(world.reporter.status()).toMatchObject({ state: "ok" });
    expect(world.log.lines).toEqual([]);
  });

  it("stops while it waits, sends or backs off, and leaves no timer", async () => {
    for (const prepare of [() => undefined, fails(500), () => new Promise<Response>(() => undefined)]) {
      const world = await startWorld({
        fetch: async (_url, init) => {
          const answer = Promise.resolve(prepare() ?? new Response(null, { status: 204 }));
          const aborted = new Promise<never>((_resolve, reject) =>
            init?.signal?.addEventListener("abort", () => reject(init.signal?.reason)),
          );
          return Promise.race([answer, aborted]);
        },
      });
      await world.clock.advance(300);
      await world[Symbol.asyncDispose]();
      expect(world.clock.pending()).toBe(0);
    }
  });

  describe("to a hub that takes deltas", () => {
    const answers = (status: number, body: object) => () => new Response(JSON.stringify(body), { status });
    const accepted = answers(202, { answer: "accepted", deltas: true });
    const bodiesOf = (world: { requests: readonly { init: RequestInit | undefined }[] }) =>
      world.requests.map(
        ({ init }) => JSON.parse(String(init?.body)) as { version: number; base?: number; sequence: number },
      );

    it("sends what is different since the last report that it has, and the whole again when it says that it has not", async () => {
      let workloads = [STREAM, { ...STREAM, id: "cam-2" }];
      await using world = await startWorld({ snapshot: () => ({ ...PICTURE, workloads }) });
      world.answerNext(accepted, accepted, answers(409, { error: { code: "base-unknown", message: "no" } }), accepted);
      await world.clock.advance(250);
      workloads = [
        { ...STREAM, restarts: 1 },
        { ...STREAM, id: "cam-2" },
      ];
      await world.clock.advance(15_000);
      await world.clock.advance(15_000);
      const bodies = bodiesOf(world);
      expect(bodies.map(({ version, base, sequence }) => [version, base, sequence])).toEqual([
        [1, undefined, 1],
        [2, 1, 2],
        [2, 2, 3],
        [1, undefined, 4],
      ]);
      expect(bodies[1]).toMatchObject({ workloads: [{ id: "cam-1", restarts: 1 }] });
      expect(bodies[2]).not.toHaveProperty("workloads");
      expect(bodies[3]).toMatchObject({ workloads });
      expect(world.log.lines).toEqual([]);
    });

    it("builds on nothing but what was acknowledged as the latest", async () => {
      await using world = await startWorld({ snapshot: () => ({ ...PICTURE, workloads: [STREAM] }) });
      const other = answers(202, { answer: "stale", deltas: true });
      world.answerNext(accepted, other, accepted, () => Promise.reject(new TypeError("cut off")), accepted);
      for (let turn = 0; turn < 5; turn++) await world.clock.advance(15_000);
      const bodies = bodiesOf(world).slice(0, 5);
      expect(bodies.map(({ version, base }) => [version, base])).toEqual([
        [1, undefined],
        [2, 1],
        [1, undefined],
        [2, 3],
        // The answer was lost: should the hub have it, it says that the base is another one.
        [2, 3],
      ]);
      world.reporter.renewSession("session-2");
      await world.clock.advance(250);
      expect(bodiesOf(world).at(-1)).toMatchObject({ version: 1, sequence: 1 });
    });

    it("tells what happened once, and whole", async () => {
      await using world = await startWorld({ snapshot: () => ({ ...PICTURE, workloads: [STREAM] }) });
      world.answerNext(accepted, accepted, accepted);
      await world.clock.advance(250);
      world.reporter.occurred(occurrence("one"));
      await world.clock.advance(250);
      await world.clock.advance(15_000);
      expect(bodiesOf(world)).toMatchObject([
        { version: 1, occurrences: [] },
        { version: 2, occurrences: [{ text: "one" }] },
        { version: 2, occurrences: [] },
      ]);
    });
  });
});

const STREAM: WorkloadStatus = {
  id: "cam-1",
  kind: "stream",
  description: "rtsp://10.0.0.7/main → rtmp://ingest.example/live/***",
  state: "running",
  generation: 3,
  restarts: 0,
  since: "2026-01-15T10:02:11.000Z",
};
