import { describe, expect, it } from "vitest";
import { LINK_OPTIONS, START, STOP, startLinkWorld } from "./link.fake.ts";

const page = () => new Response("<html>", { headers: { "content-type": "text/html; charset=utf-8" } });
const status =
  (code: number, headers: Record<string, string> = {}) =>
  () =>
    new Response(code === 204 ? null : "no", { status: code, headers });

describe("link", () => {
  it("connects with the token in the header and delivers events in order with their ids", async () => {
    await using world = await startLinkWorld();
    const { headers, url, send } = world.connection();
    expect(headers.get("authorization")).toBe("Bearer secret-token");
    expect(headers.get("accept")).toBe("text/event-stream");
    expect(headers.get("last-event-id")).toBeNull();
    expect(url).not.toContain("secret-token");
    send(`id: 1\n${STOP("a")}${STOP("b")}`);
    await world.settle();
    expect(world.events).toEqual([
      { event: { kind: "stop", workloadId: "a" }, cursorId: "1" },
      { event: { kind: "stop", workloadId: "b" }, cursorId: undefined },
    ]);
    expect(world.log.lines).toEqual([
      "[INFO] SSE endpoint: http://hub.test/v1/boxes/north-1/events?key=***",
      "[INFO] Connected to SSE endpoint",
    ]);
    expect(world.link.status()).toMatchObject({ state: "live", connects: 1, events: 2, attempts: 0, badEvents: {} });
  });

  it("says that the connection is lost, waits as long as it said, and reconnects from the cursor", async () => {
    await using world = await startLinkWorld();
    world.connection().send(`id: e.41\n${STOP("a")}id: e.42\n\n`);
    await world.settle();
    expect(world.cursors).toEqual(["e.42"]);
    world.connection().fail("socket hang up");
    await world.settle();
    expect(world.log.lines.at(-1)).toBe("[WARN] Connection lost, retrying in 5 seconds (socket hang up)");
    expect(world.link.status()).toMatchObject({ state: "waiting", nextAttemptInSeconds: 5, reason: "socket hang up" });
    await world.clock.advance(4990);
    expect(world.server.requests()).toBe(1);
    await world.clock.advance(20);
    expect(world.server.requests()).toBe(2);
    expect(world.connection().headers.get("last-event-id")).toBe("e.42");
    expect(world.log.lines.at(-1)).toBe("[INFO] Reconnected to SSE endpoint");
    expect(world.told).toEqual(["connected", "disconnected: socket hang up", "connected"]);
  });

  it.each([
    [status(204), 30, "HTTP 204: the server asks for no more attempts"],
    [status(401), 30, "HTTP 401: the token is missing or not accepted"],
    [status(403), 30, "HTTP 403: the token does not allow this"],
    [status(404), 30, "HTTP 404: no such address; wrong endpoint or box id?"],
    [status(410), 30, "HTTP 410: the address is gone for good"],
    [status(429, { "retry-after": "20" }), 22, "HTTP 429"],
    [status(503, { "retry-after": "Thu, 15 Jan 2026 10:31:06 GMT" }), 22, "HTTP 503"],
    [
      status(503, { "retry-after": "Tue, 01 Jan 2030 00:00:20 GMT", date: "Tue, 01 Jan 2030 00:00:00 GMT" }),
      22,
      "HTTP 503",
    ],
    [status(503, { "retry-after": "soon" }), 5, "HTTP 503"],
    [status(500), 5, "HTTP 500"],
    [status(502), 5, "HTTP 502"],
    [page, 5, "an HTML page came: captive portal or wrong address?"],
    [() => Response.json({ ok: true }), 5, "expected text/event-stream, given application/json"],
    [
      () => new Response("data: x\n\n", { headers: { "content-type": "text/event-streams" } }),
      5,
      "expected text/event-stream, given text/event-streams",
    ],
    [status(301), 5, "HTTP 301 without an address to go to"],
    [
      () => Promise.reject(new TypeError("fetch failed", { cause: new RangeError("connect ECONNREFUSED") })),
      5,
      "fetch failed: connect ECONNREFUSED",
    ],
  ])("goes on after every answer (%#)", async (answer, seconds, reason) => {
    await using world = await startLinkWorld();
    world.server.answerNext(answer);
    world.connection().send(STOP("a"));
    await world.settle();
    world.connection().close();
    await world.settle();
    await world.clock.advance(1000);
    expect(world.log.lines.at(-1)).toBe(`[WARN] Connection lost, retrying in ${seconds} seconds (${reason})`);
    await world.clock.advance(seconds * 1000);
    expect(world.link.status().state).toBe("live");
  });

  it("does not take an opened connection for success: only an event resets the back-off", async () => {
    await using world = await startLinkWorld({ maxRetries: 100 });
    const waits: (number | undefined)[] = [];
    for (let round = 0; round < 5; round++) {
      world.connection().send(": beat 1\n\nid: only\n\n");
      await world.settle();
      world.connection().close();
      await world.settle();
      waits.push(world.link.status().nextAttemptInSeconds);
      await world.untilDialled();
    }
    expect(waits).toEqual([5, 10, 20, 40, 60]);
    world.connection().send(STOP("a"));
    await world.settle();
    world.connection().fail("cut");
    await world.settle();
    expect(world.link.status().nextAttemptInSeconds).toBe(5);
  });

  it("is degraded after maxRetries attempts without an event, says so once, and goes on more quietly", async () => {
    await using world = await startLinkWorld();
    world.server.answerNext(...Array.from({ length: 8 }, () => status(500)));
    world.connection().close();
    for (let round = 0; round < 8; round++) await world.untilDialled();
    await world.settle();
    const warnings = world.log.lines.filter((line) => line.startsWith("[WARN]"));
    expect(warnings.filter((line) => line.includes("degraded"))).toHaveLength(1);
    expect(warnings.filter((line) => line.includes("Connection lost"))).toHaveLength(5);
    expect(world.link.status()).toMatchObject({ state: "degraded", reason: "HTTP 500" });
    await world.untilDialled();
    expect(world.link.status()).toMatchObject({ state: "live", attempts: 10 });
    world.connection().send(STOP("a"));
    await world.settle();
    expect(world.link.status()).toMatchObject({ state: "live", attempts: 0 });
  });

  it("drops a silent connection after 45 s, and any byte is a sign of life", async () => {
    await using world = await startLinkWorld();
    await world.clock.advance(44_000);
    world.connection().send(":");
    await world.clock.advance(44_000);
    expect(world.link.status().state).toBe("live");
    await world.clock.advance(1000);
    expect(world.told.at(-1)).toBe("disconnected: no byte for 45 s");
  });

  it("drops it after 2.5 announced beats", async () => {
    await using world = await startLinkWorld();
    world.connection().send(": beat 4\n");
    await world.clock.advance(9900);
    expect(world.link.status().state).toBe("live");
    await world.clock.advance(200);
    expect(world.told.at(-1)).toBe("disconnected: no byte for 10 s");
  });

  it("holds the next connection to the beats of the last one, once: another server may stand there by then", async () => {
    await using world = await startLinkWorld();
    world.connection().send(": beat 4\n");
    await world.settle();
    world.connection().fail("cut");
    await world.untilDialled();
    await world.settle();
    await world.clock.advance(10_100);
    expect(world.told.at(-1)).toBe("disconnected: no byte for 10 s");
    await world.untilDialled();
    await world.settle();
    await world.clock.advance(44_000);
    expect(world.link.status().state).toBe("live");
    await world.clock.advance(1000);
    expect(world.told.at(-1)).toBe("disconnected: no byte for 45 s");
  });

  it("gives up a dial that brings no headers in time", async () => {
    await using world = await startLinkWorld({ connectTimeoutMs: 3000 });
    world.server.answerNext(() => new Promise(() => undefined));
    world.connection().fail("cut");
    await world.clock.advance(5000);
    expect(world.link.status().state).toBe("connecting");
    await world.clock.advance(3000);
    expect(world.link.status()).toMatchObject({ state: "waiting", reason: "no answer within 3 s" });
  });

  it.each([
    ["retry: 0", 1],
    ["retry: 7000", 7.7],
    ["retry: 99999999999", 300],
    ["retry: -1", 1],
    ["retry: 1e3", 1],
  ])("obeys `%s` within limits", async (line, seconds) => {
    await using world = await startLinkWorld();
    world.connection().send(`${line}\n${STOP("a")}`);
    await world.settle();
    world.connection().close();
    await world.settle();
    expect(world.link.status().nextAttemptInSeconds).toBeCloseTo(line === "retry: 0" ? 1.1 : seconds, 1);
  });

  it("asks a server that closes after each event not more than four times a second", async () => {
    await using world = await startLinkWorld({}, { random: () => 0 });
    const startedAtMs = world.clock.monotonicMs();
    for (let round = 0; round < 40; round++) {
      world.connection().send(`retry: 0\n\nid: ${round}\n${STOP("a")}`);
      await world.settle();
      world.connection().close();
      await world.clock.advance(1000);
    }
    expect(world.events).toHaveLength(40);
    const seconds = (world.clock.monotonicMs() - startedAtMs) / 1000;
    expect(world.server.requests() / seconds).toBeLessThanOrEqual(4);
  });

  it("reads the token for each attempt, and a token that no header can carry is not repeated in a message", async () => {
    const tokens = ["first", "bad\u0000canary-token", "second"];
    await using world = await startLinkWorld({}, { token: async () => tokens.shift() });
    expect(world.connection().headers.get("authorization")).toBe("Bearer first");
    world.connection().fail("cut");
    await world.clock.advance(5000);
    expect(world.link.status().reason).toMatch(/^token: given 16 characters/);
    await world.clock.advance(10_000);
    expect(world.connection().headers.get("authorization")).toBe("Bearer second");
    expect(world.log.lines.join("\n")).not.toContain("canary");
  });

  it("goes on without a cursor that no header can carry", async () => {
    await using world = await startLinkWorld({}, { cursor: () => "a\u0001b" });
    expect(world.connection().headers.get("last-event-id")).toBeNull();
  });

  it("sends a cursor outside ASCII as UTF-8 bytes", async () => {
    await using world = await startLinkWorld({}, { cursor: () => "é…" });
    const sent = world.connection().headers.get("last-event-id") ?? "";
    expect(Buffer.from(sent, "latin1").toString("utf8")).toBe("é…");
  });

  it("hangs up for a fresh snapshot and sends no cursor until one has come", async () => {
    await using world = await startLinkWorld({}, { cursor: () => "e.7" });
    world.connection().send(STOP("a"));
    await world.settle();
    world.link.requestSnapshot("revision 9 does not follow 7");
    await world.settle();
    expect(world.log.lines.at(-1)).toBe(
      "[INFO] Reconnecting for a fresh snapshot in 1 seconds (revision 9 does not follow 7)",
    );
    world.server.answerNext(status(500));
    await world.clock.advance(1000);
    await world.clock.advance(10_000);
    expect(world.connection().headers.get("last-event-id")).toBeNull();
    world.connection().send('event: expected\ndata: {"epoch":"e","revision":9,"workloads":[]}\n\n');
    await world.settle();
    world.connection().fail("cut");
    await world.clock.advance(5000);
    expect(world.connection().headers.get("last-event-id")).toBe("e.7");
  });

  it("asks again later and later while a server answers a request for a snapshot with something else", async () => {
    await using world = await startLinkWorld();
    const waits: (number | undefined)[] = [];
    for (let round = 0; round < 5; round++) {
      world.connection().send(`event: change\ndata: {"revision":9}\n\n`.repeat(3));
      await world.settle();
      for (let call = 0; call < 3; call++) world.link.requestSnapshot("gap");
      await world.settle();
      waits.push(world.link.status().nextAttemptInSeconds);
      await world.untilDialled();
    }
    expect(waits).toEqual([1, 2, 4, 8, 16]);
  });

  it("does not hang up again for a snapshot that this connection can still bring", async () => {
    await using world = await startLinkWorld();
    world.link.requestSnapshot("no state");
    await world.untilDialled();
    world.link.requestSnapshot("no state");
    await world.settle();
    expect(world.link.status()).toMatchObject({ state: "live", connects: 2 });
  });

  it("throws at the start for an endpoint that is no http URL, without repeating it", async () => {
    await expect(startLinkWorld({ endpoint: "ftp://u:canary@h/" })).rejects.toThrow(
      "link.endpoint: given a URL with ftp:; allowed: http or https",
    );
    await expect(startLinkWorld({ endpoint: "canary" })).rejects.not.toThrow("canary");
  });

  it("turns userinfo of the endpoint into basic authentication and never shows it", async () => {
    await using world = await startLinkWorld(
      { endpoint: "http://user:canary%20word@hub.test/events" },
      { token: async () => undefined },
    );
    const basic = world.connection().headers.get("authorization")?.replace("Basic ", "") ?? "";
    expect(Buffer.from(basic, "base64").toString()).toBe("user:canary word");
    expect(world.link.status().endpoint).toBe("http://hub.test/events");
    expect(world.log.lines.join("\n")).not.toContain("canary");
  });

  it("stays off without an endpoint", async () => {
    await using world = await startLinkWorld({ endpoint: undefined });
    expect(world.link.status()).toMatchObject({ state: "off", endpoint: "" });
    expect(world.server.requests()).toBe(0);
  });

  it("stops in any phase and leaves no timer behind", async () => {
    const phases: ((world: Awaited<ReturnType<typeof startLinkWorld>>) => unknown)[] = [
      () => undefined,
      (world) => world.connection().fail("cut"),
      (world) => {
        world.server.answerNext(() => new Promise(() => undefined));
        world.connection().fail("cut");
        return world.clock.advance(5000);
      },
    ];
    for (const enter of phases) {
      const world = await startLinkWorld({ ...LINK_OPTIONS, replayWindowMs: 1000 });
      await enter(world);
      await world.settle();
      await world[Symbol.asyncDispose]();
      expect(world.link.status().state).toBe("off");
      expect(world.clock.pending()).toBe(0);
    }
  });
});

describe("replay window", () => {
  const connect = () => startLinkWorld({ replayWindowMs: 2000 });

  it("makes one whole set of the starts that come after a connect", async () => {
    await using world = await connect();
    world.connection().send(`${START("a")}${START("b")}${START("a")}${START("c")}${STOP("c")}`);
    await world.clock.advance(1900);
    expect(world.events.map(({ event }) => event.kind)).toEqual(["stop"]);
    await world.clock.advance(200);
    expect(world.events.at(-1)?.event).toMatchObject({
      kind: "whole",
      workloads: [{ id: "b" }, { id: "a" }],
      confirm: false,
    });
    world.connection().send(START("d"));
    await world.settle();
    expect(world.events.at(-1)?.event).toMatchObject({ kind: "start", workload: { id: "d" } });
  });

  it("says nothing when no start came", async () => {
    await using world = await connect();
    await world.clock.advance(5000);
    expect(world.events).toEqual([]);
  });

  it("hands the starts on one by one when the connection ends first", async () => {
    await using world = await connect();
    world.connection().send(START("a"));
    await world.clock.advance(500);
    world.connection().fail("cut");
    await world.settle();
    expect(world.events.map(({ event }) => event.kind)).toEqual(["start"]);
    await world.clock.advance(4000);
    expect(world.events).toHaveLength(1);
  });
});
