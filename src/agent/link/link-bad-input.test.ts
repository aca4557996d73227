import { describe, expect, it } from "vitest";
import { createMemoryLog } from "../../base/log.ts";
import { createInstantClock, eventStream, streamOf } from "./connection.fake.ts";
import { LINK_OPTIONS, START, STOP, startLinkWorld } from "./link.fake.ts";
import { createLink } from "./link.ts";

const MIB = 1024 * 1024;

describe("bad input on the link", () => {
  it.each([
    ["not-json", "data: rtsp://user:canary@cam\n\n"],
    ["not-json", 'data: {"eventType":"start","input":"rtsp://user:canary@cam"\n\n'],
    ["invalid", 'data: {"eventType":"start","input":"rtsp://user:canary@cam"}\n\n'],
    ["invalid", 'data: {"eventType":"start","cameraUrl":"rtsp://canary","streamKey":{"canary":1}}\n\n'],
    ["invalid", "data: 5\n\n"],
    ["invalid", 'event: expected\ndata: {"epoch":"e","revision":"canary","workloads":[]}\n\n'],
    ["too-deep", `data: ${"[".repeat(500_000)}\n\n`],
    ["too-deep", `data: ${'{"a":'.repeat(33)}1${"}".repeat(33)}\n\n`],
    ["too-large", `data: ${"x".repeat(10 * MIB)}\n\n`],
    ["too-large", `event: expected\ndata: {"pad":"\ndata: ${"y".repeat(2 * MIB)}"}\n\n`],
  ])("is logged, counted as %s, reported and skipped, and the connection goes on (%#)", async (reason, text) => {
    const reported: string[] = [];
    await using world = await startLinkWorld(
      {},
      { onBadEvent: (why, message) => void reported.push(`${why} ${message}`) },
    );
    world.connection().send(`id: 5\n${text}${STOP("good")}`);
    await world.settle();
    expect(world.link.status()).toMatchObject({ state: "live", connects: 1, badEvents: { [reason]: 1 }, events: 2 });
    expect(world.events).toEqual([{ event: { kind: "stop", workloadId: "good" }, cursorId: undefined }]);
    expect(world.cursors).toEqual(["5"]);
    expect(reported).toHaveLength(1);
    expect(world.log.lines.filter((line) => line.startsWith(`[WARN] Event skipped (${reason}): `))).toHaveLength(1);
    expect(JSON.stringify([world.log.lines, world.link.status(), reported])).not.toContain("canary");
    expect(world.log.lines.every((line) => line.length < 300)).toBe(true);
  });

  it("sets a bad workload aside and lets the rest of its event count", async () => {
    await using world = await startLinkWorld();
    const good = { kind: "stream", id: "good", spec: { input: "test://bars", outputs: ["udp://h:1"] } };
    const workloads = [{ kind: "stream", id: "bad", spec: { input: 5 } }, good, { kind: "teleport", id: "x" }];
    world
      .connection()
      .send(`event: expected\nid: e.1\ndata: ${JSON.stringify({ epoch: "e", revision: 1, workloads })}\n\n`);
    await world.settle();
    expect(world.events[0]?.event).toMatchObject({
      kind: "snapshot",
      workloads: [{ id: "good" }],
      rejected: [
        { id: "bad", reason: "workloads[0].spec.input: given a number; allowed: a text or an object" },
        { id: "x", reason: 'workloads[2].kind: given "teleport"; allowed: stream, tunnel, session' },
      ],
    });
  });

  it("logs each unknown event and field once, ignores it, and counts nothing bad", async () => {
    await using world = await startLinkWorld();
    const greeting = 'data: {"type":"connection","message":"Connected to SSE"}\n\n';
    const health = 'data: {"eventType":"health"}\n\n';
    const unknown = "event: url_update\nid: 9\ndata: x\n\n";
    const odd = 'data: {"eventType":"stop","id":"a","colour":"red"}\n\n';
    world.connection().send([greeting, health, unknown, odd].join("").repeat(3));
    await world.settle();
    expect(world.log.lines.slice(2)).toEqual([
      '[INFO] Ignored: event without eventType, of type "connection"',
      '[INFO] Ignored: eventType "health"',
      '[INFO] Ignored: event type "url_update"',
      '[INFO] Ignored: unknown field "colour" in a stop event',
    ]);
    expect(world.events).toHaveLength(3);
    expect(world.cursors).toEqual(["9", "9", "9"]);
    expect(world.link.status().badEvents).toEqual({});
  });

  it("quarantines a handler that fails: logged, counted, skipped, and the cursor stays with what was applied", async () => {
    const applied: string[] = [];
    await using world = await startLinkWorld(
      {},
      {
        onEvent: async (event) => {
          if (event.kind === "stop" && event.workloadId === "poison") throw new RangeError("no");
          applied.push(event.kind);
        },
      },
    );
    world.connection().send(`id: 1\n${STOP("poison")}${STOP("b")}${STOP("c")}`);
    await world.settle();
    expect(applied).toEqual(["stop", "stop"]);
    expect(world.cursors).toEqual([]);
    expect(world.link.status()).toMatchObject({ state: "live", badEvents: { "handler-failed": 1 } });
    expect(world.log.lines).toContain("[WARN] Event skipped (handler-failed): handling a stop event: no");
  });

  it("survives listeners that throw", async () => {
    const fail = () => {
      throw new RangeError("listener");
    };
    await using world = await startLinkWorld(
      {},
      { onConnected: fail, onDisconnected: fail, onCursor: fail, onBadEvent: fail },
    );
    world.connection().send(`id: 1\n\ndata: x\n\n${STOP("a")}`);
    await world.settle();
    world.connection().fail("cut");
    await world.untilDialled();
    expect(world.events).toHaveLength(1);
    expect(world.link.status()).toMatchObject({ state: "live", connects: 2 });
  });

  it("delivers one event at a time, and stops reading while the handler is behind", async () => {
    const releases: (() => void)[] = [];
    let running = 0;
    let most = 0;
    await using world = await startLinkWorld(
      {},
      {
        onEvent: async () => {
          most = Math.max(most, ++running);
          await new Promise<void>((resolve) => releases.push(resolve));
          running--;
        },
      },
    );
    world.connection().send(STOP("a").repeat(1000));
    await world.settle();
    for (let turn = 0; turn < 300; turn++) await world.settle();
    expect(most).toBe(1);
    expect(world.link.status().events).toBe(1);
    // Half-open detection must not run while it is us who do not read.
    await world.clock.advance(600_000);
    expect(world.link.status().state).toBe("live");
    expect(world.log.lines.at(-1)).toContain("has taken 30 s");
    while (releases.length > 0) {
      releases.shift()?.();
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(world.link.status().events).toBe(1000);
  });

  it("waits for the events of a lost connection before it asks for the cursor of the next", async () => {
    let cursor: string | undefined;
    await using world = await startLinkWorld(
      {},
      {
        cursor: () => cursor,
        onEvent: async (_event, cursorId) => {
          await new Promise<void>((resolve) => world.clock.timer(20_000, resolve));
          cursor = cursorId;
        },
      },
    );
    world.connection().send(`id: 3\n${STOP("a")}`);
    await world.settle();
    world.connection().fail("cut");
    await world.clock.advance(19_000);
    expect(world.server.requests()).toBe(1);
    await world.clock.advance(2000);
    expect(world.connection().headers.get("last-event-id")).toBe("3");
  });

  it("logs a flood of bad events with a bound, and says how many lines it left out", async () => {
    await using world = await startLinkWorld();
    world.connection().send("data: x\n\n".repeat(500));
    for (let turn = 0; turn < 100; turn++) await world.settle();
    expect(world.link.status().badEvents).toEqual({ "not-json": 500 });
    expect(world.log.lines.length).toBeLessThan(30);
    world.connection().send(":\n");
    await world.clock.advance(40_000);
    world.connection().send(":\n");
    await world.clock.advance(30_000);
    world.connection().send("data: x\n\n");
    await world.settle();
    expect(world.log.lines.at(-1)).toMatch(/\[480 more such lines were left out\]$/);
  });

  it("delivers the same events at every split point of the stream", async () => {
    const body = Buffer.from(
      `\ufeff: beat 15\r\nretry: 2000\r\nid: é.1\revent: expected\ndata: {"epoch":"é","revision":1,\r\ndata:"workloads":[]}\r\n\r\nid: 2\n\n${START("a")}id:\0\n${STOP("…😀".replace(/\W/gu, "x"))}data: broken\n\nevent: change\ndata:{"revision":2}\nid: 3\n\nid: 4\ndata: {"eventType":"stop","id":"lost"}\n`,
    );
    const splits: Uint8Array[][] = Array.from({ length: body.length + 1 }, (_, at) => [
      body.subarray(0, at),
      body.subarray(at),
    ]);
    splits.push([...body].map((byte) => Uint8Array.of(byte)));
    const seen: string[][] = [];
    let round = -1;
    const abort = new AbortController();
    const link = createLink(LINK_OPTIONS, {
      fetch: async () => {
        round++;
        seen.push([]);
        const chunks = splits[round];
        if (chunks === undefined) abort.abort();
        return eventStream(streamOf(chunks ?? []));
      },
      clock: createInstantClock(),
      random: () => 0,
      log: createMemoryLog(),
      token: async () => undefined,
      cursor: () => undefined,
      onEvent: (event, cursorId) => void seen[round]?.push(`${event.kind} ${cursorId}`),
      onCursor: (cursorId) => void seen[round]?.push(`cursor ${cursorId}`),
      onBadEvent: (reason) => void seen[round]?.push(reason),
    });
    await link.run(abort.signal);
    const expected = ["snapshot é.1", "cursor 2", "start undefined", "stop undefined", "not-json", "change 3"];
    for (const [index, got] of seen.slice(0, splits.length).entries()) expect(got, `split ${index}`).toEqual(expected);
    expect(seen.length).toBeGreaterThan(splits.length);
  });
});
