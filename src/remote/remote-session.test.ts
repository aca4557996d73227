import { createHash } from "node:crypto";
import { once } from "node:events";
import { Readable, Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { systemClock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { Carrier, CarrierHandlers } from "./carrier.ts";
import { type CarrierPair, createCarrierPair } from "./carrier-pair.fake.ts";
import type { Channel } from "./channel.ts";
import type { ExitFacts } from "./exit-facts.ts";
import { decodeFrame, encodeControl, type FrameBody } from "./frame.ts";
import { helloBody, pingBody } from "./frame-bodies.ts";
import type { OpenWhat } from "./open-what.ts";
import { createWindowLedger, WINDOW_LIMITS } from "./receive-window.ts";
import { createRemoteSession, type RemoteSession } from "./remote-session.ts";
import { SESSION_VERSION } from "./session-version.ts";

const EXEC: OpenWhat = {
  kind: "exec",
  argv: ["/usr/bin/true"],
  env: {},
  cwd: undefined,
  user: undefined,
  pty: undefined,
  stdin: true,
};
const DIAL: OpenWhat = { kind: "dial", host: "127.0.0.1", port: 80 };

let ends: RemoteSession[] = [];
afterEach(() => {
  for (const end of ends) end.close();
  ends = [];
});

function newEnd(side: "operator" | "box", clock = systemClock, ledger = createWindowLedger()): RemoteSession {
  const end = createRemoteSession(
    { side, program: "test/1" },
    { clock, newId: () => `${side}-${Math.floor(performance.now() * 1000)}`, ledger },
  );
  ends.push(end);
  return end;
}

function makeWorld(take: (channel: Channel, what: OpenWhat) => void) {
  const operator = newEnd("operator");
  const box = newEnd("box");
  box.onChannel(take);
  let pair: CarrierPair | undefined;
  const connect = (given: CarrierPair = createCarrierPair()) => {
    pair = given;
    void operator.carry(given.operator);
    void box.carry(given.box);
    return given;
  };
  return { operator, box, connect, breakLink: () => pair?.break() };
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const exitOf = (channel: Channel, code: number): ExitFacts => ({
  how: { kind: "code", code },
  coreDumped: false,
  killedBy: undefined,
  out: channel.digest("out"),
  err: channel.digest("err"),
  outputOpenAfterExit: false,
  wallMs: 3,
});

/** Sends all that comes in back again, in pieces. */
const echo = (channel: Channel) => {
  channel.accept({ pid: 7 });
  channel.readable("in").pipe(channel.writable("out"));
};

describe("a session", () => {
  test("opens a channel and carries bytes both ways, each direction ended for itself", async () => {
    const { operator, connect } = makeWorld(echo);
    connect();
    const channel = operator.open(DIAL);
    await expect(channel.opened).resolves.toEqual({ pid: 7, droppedBytes: 0 });
    channel.writable("in").end("hello");
    expect(String(await buffer(channel.readable("out")))).toBe("hello");
    await expect(channel.closed).resolves.toEqual({});
    expect(operator.stats().openChannels).toBe(0);
  });

  test.each(["operator", "box"] as const)("says hello first where the other end's is here already: %s", (side) => {
    const said: (string | undefined)[] = [];
    const other = helloBody({ version: SESSION_VERSION, incarnation: "other", received: 0, program: "test/1" });
    const end = newEnd(side);
    if (side === "operator") end.open(DIAL);
    void end.carry({
      sessionId: "s-1",
      routerId: "fake",
      peerClient: "test/1",
      listen: ({ onFrame }) => onFrame([encodeControl({ seq: 0, channel: 0, body: other })]),
      send: (pieces) => {
        const frame = decodeFrame(pieces);
        said.push("body" in frame ? frame.body.case : "data");
        return true;
      },
      finish: () => undefined,
      cut: () => undefined,
    });
    expect(said).toEqual(side === "operator" ? ["hello", "open", "ping"] : ["hello", "ping"]);
  });

  test("says why something was not opened", async () => {
    const { operator, connect } = makeWorld((channel) =>
      channel.refuse(new AppError("refused", "the policy of the box")),
    );
    connect();
    const channel = operator.open(EXEC);
    await expect(channel.opened).rejects.toMatchObject({ code: "refused", message: "the policy of the box" });
    await expect(channel.closed).resolves.toMatchObject({ error: { code: "refused" } });
  });

  test("loses nothing and brings nothing twice, wherever its carriers break", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 400_000 }),
        async (given, size) => {
          const breaks = [...given];
          const { operator, connect, breakLink } = makeWorld(echo);
          const channel = operator.open(DIAL);
          const sent = Buffer.alloc(size, "0123456789abcdefghijklmnopqrstuvwxyz\n");
          let frames = 0;
          let limit = breaks.shift() ?? Number.POSITIVE_INFINITY;
          const schedule = (arrive: () => void) =>
            void setImmediate(() => {
              frames += 1;
              if (frames === limit) {
                breakLink();
                frames = 0;
                limit = breaks.shift() ?? Number.POSITIVE_INFINITY;
                setImmediate(() => connect(createCarrierPair({ schedule, room: 4 })));
                return;
              }
              arrive();
            });
          connect(createCarrierPair({ schedule, room: 4 }));
          const back = buffer(channel.readable("out"));
          channel.writable("in").end(sent);
          const got = await back;
          expect(got.length).toBe(sent.length);
          expect(sha256(got)).toBe(sha256(sent));
          operator.close();
          await operator.closed;
        },
      ),
      { numRuns: 40 },
    );
  });

  test("tells how a command ended after all its output, with totals and hashes that agree", async () => {
    const { operator, connect } = makeWorld((channel) => {
      channel.accept({ pid: 9 });
      channel.writable("out").end(Buffer.alloc(1_000_000, "o"));
      channel.writable("err").end("oh\n");
      channel.writable("err").once("finish", () => {
        const wait = () => {
          if (!channel.writable("out").writableFinished) return void setImmediate(wait);
          channel.exit(exitOf(channel, 42));
        };
        wait();
      });
    });
    connect();
    const channel = operator.open(EXEC);
    const { promise: exited, resolve } = Promise.withResolvers<ExitFacts>();
    channel.on({ onExit: resolve });
    const [out, err] = await Promise.all([buffer(channel.readable("out")), buffer(channel.readable("err"))]);
    const exit = await exited;
    expect([out.length, String(err), exit.how]).toEqual([1_000_000, "oh\n", { kind: "code", code: 42 }]);
    expect(exit.out).toEqual({ total: 1_000_000, sha256: createHash("sha256").update(out).digest() });
    channel.exitSeen();
    await channel.closed;
  });

  test("a reader that does not read holds its sender back, and no other channel", async () => {
    const ledger = createWindowLedger();
    const { operator, connect } = makeWorld(echo);
    connect();
    const stuck = operator.open(DIAL);
    await stuck.opened;
    let written = 0;
    const source = new Readable({
      read() {
        written += 65_536;
        this.push(Buffer.alloc(65_536));
      },
    });
    source.pipe(stuck.writable("in"));
    const free = operator.open(DIAL);
    for (let turn = 0; turn < 20; turn++) {
      free.writable("in").write("ping");
      await once(free.readable("out"), "readable");
      expect(String(free.readable("out").read())).toBe("ping");
    }
    source.unpipe();
    expect(written).toBeLessThan(4 * WINDOW_LIMITS.firstBytes + 2_000_000);
    expect(ledger.takenBytes).toBe(0);
    stuck.reset(new AppError("cancelled", "enough"));
    await stuck.closed;
  });

  test("a reader that goes away stops its sender, which still says its end", async () => {
    const stopped = Promise.withResolvers<void>();
    const { operator, connect } = makeWorld((channel) => {
      channel.accept();
      channel.writable("out").once("stopped", () => stopped.resolve());
      const source = Readable.from(
        (function* () {
          for (let turn = 0; turn < 400; turn++) yield Buffer.alloc(65_536);
        })(),
      );
      source.pipe(channel.writable("out"));
      channel.readable("in").resume();
    });
    connect();
    const channel = operator.open(DIAL);
    channel.writable("in").end();
    const out = channel.readable("out");
    out.once("data", () => out.destroy());
    await stopped.promise;
    await expect(channel.closed).resolves.toEqual({});
  });

  test("one that was reset harms no other", async () => {
    const seen: Channel[] = [];
    const { operator, connect } = makeWorld((channel) => {
      seen.push(channel);
      echo(channel);
    });
    connect();
    const first = operator.open(DIAL);
    const second = operator.open(DIAL);
    await Promise.all([first.opened, second.opened]);
    seen[0]?.reset(new AppError("unavailable", "connection reset"));
    await expect(first.closed).resolves.toMatchObject({ error: { code: "unavailable", message: "connection reset" } });
    second.writable("in").end("still here");
    expect(String(await buffer(second.readable("out")))).toBe("still here");
  });

  test("an end that has lost its memory ends the session, and says so", async () => {
    const { operator, connect } = makeWorld(echo);
    connect();
    const channel = operator.open(DIAL);
    await channel.opened;
    const pair = createCarrierPair();
    const carried = operator.carry(pair.operator);
    void newEnd("box")
      .carry(pair.box)
      .catch(() => undefined);
    await expect(carried).rejects.toMatchObject({ code: "conflict" });
    await expect(operator.closed).resolves.toMatchObject({ code: "conflict" });
    await expect(channel.closed).resolves.toMatchObject({ error: { code: "conflict" } });
  });

  test("is closed at both ends after what was written has gone", async () => {
    const { operator, box, connect } = makeWorld(echo);
    connect();
    const channel = operator.open(DIAL);
    await channel.opened;
    operator.close();
    await expect(operator.closed).resolves.toMatchObject({ code: undefined });
    await expect(box.closed).resolves.toMatchObject({ code: undefined });
    expect(() => operator.open(DIAL)).toThrow("the session is over");
  });

  test("a silent carrier is given up after 40 s, after 20 s with something on its way, and resumed by the next", async () => {
    const clock = createFakeClock();
    const operator = newEnd("operator", clock);
    const box = newEnd("box", clock);
    box.onChannel(echo);
    const frozen = createCarrierPair();
    const first = operator.carry(frozen.operator);
    void box.carry(frozen.box);
    const channel = operator.open(DIAL);
    await channel.opened;
    frozen.freeze();
    channel.writable("in").write("late");
    await clock.advance(19_000);
    expect(operator.stats().unackedBytes).toBeGreaterThan(0);
    await clock.advance(3000);
    await expect(first).resolves.toMatchObject({ reason: "broken" });
    const next = createCarrierPair();
    void operator.carry(next.operator);
    void box.carry(next.box);
    await once(channel.readable("out"), "readable");
    expect(String(channel.readable("out").read())).toBe("late");
  });

  test("what is no frame ends the carrier and harms nothing else", async () => {
    const { operator, box, connect } = makeWorld(echo);
    const pair = connect();
    const channel = operator.open(DIAL);
    await channel.opened;
    pair.operator.send([Buffer.from([0xff, 0xff, 0xff])]);
    await new Promise((done) => setImmediate(done));
    const next = connect();
    expect(next).toBeDefined();
    channel.writable("in").end("again");
    expect(String(await buffer(channel.readable("out")))).toBe("again");
    expect(box.stats().openChannels).toBe(0);
  });

  /** An end that speaks by hand: what it is sent is kept, and it reads when it says so. */
  const byHand = (hasRoom: () => boolean) => {
    const sent: ReturnType<typeof decodeFrame>[] = [];
    const heard = Promise.withResolvers<CarrierHandlers>();
    const carrier: Carrier = {
      sessionId: "s-1",
      routerId: "fake",
      peerClient: "hand",
      listen: heard.resolve,
      send: (pieces) => {
        sent.push(decodeFrame(pieces));
        return hasRoom();
      },
      finish: () => undefined,
      cut: () => undefined,
    };
    return { carrier, sent, handlers: heard.promise };
  };
  const frame = (seq: number, channel: number, body: FrameBody) => [encodeControl({ seq, channel, body })];
  const HELLO = helloBody({ version: 2, incarnation: "hand", received: 0, program: "hand/1" });

  test("an end that asks and does not read gets one answer when it reads, not all that it asked for", async () => {
    const box = newEnd("box");
    const { carrier, sent, handlers } = byHand(() => false);
    void box.carry(carrier);
    const { onFrame, onDrain } = await handlers;
    onFrame(frame(0, 0, HELLO));
    for (let id = 1; id <= 10_000; id++) onFrame(frame(0, 0, pingBody(id)));
    expect(sent.length).toBeLessThan(5);
    for (let turn = 0; turn < 3; turn++) onDrain();
    const pongs = sent.flatMap((one) => ("body" in one && one.body.case === "pong" ? [Number(one.body.value.id)] : []));
    expect(pongs).toEqual([10_000]);
  });

  test("an end that acknowledges nothing is left, however little it is told at a time", async () => {
    const operator = newEnd("operator");
    const { carrier, sent, handlers } = byHand(() => true);
    operator.carry(carrier).catch(() => undefined);
    const { onFrame } = await handlers;
    onFrame(frame(0, 0, HELLO));
    const channel = operator.open(EXEC);
    for (let turn = 0; turn < 20_000; turn++) channel.resize({ cols: turn, rows: 1 });
    await expect(operator.closed).resolves.toMatchObject({ code: "exhausted" });
    expect(sent.length).toBeLessThan(17_000);
    await expect(channel.opened).rejects.toMatchObject({ code: "exhausted" });
    expect(operator.stats().openChannels).toBe(0);
  });

  test("datagrams arrive whole or are counted", async () => {
    const lost: number[] = [];
    const { operator, connect, breakLink } = makeWorld((channel) => {
      channel.on({
        onDatagram: (flow, bytes, droppedBefore) => {
          lost.push(droppedBefore);
          channel.sendDatagram(flow, bytes);
        },
      });
      channel.accept();
    });
    connect();
    const channel = operator.open({ kind: "associate", host: "127.0.0.1", port: 53 });
    const got: number[] = [];
    channel.on({ onDatagram: (_flow, bytes) => got.push(bytes.length) });
    await channel.opened;
    for (const size of [0, 1, 1472, 65_507]) channel.sendDatagram(3, Buffer.alloc(size));
    await expect.poll(() => got.length).toBe(4);
    expect(got).toEqual([0, 1, 1472, 65_507]);
    breakLink();
    for (let turn = 0; turn < 5; turn++) channel.sendDatagram(3, Buffer.alloc(10));
    connect();
    await expect.poll(() => operator.stats().rttMs).toBeDefined();
    channel.sendDatagram(3, Buffer.alloc(1));
    await expect.poll(() => got.length).toBe(5);
    expect(lost).toEqual([0, 0, 0, 0, 5]);
  });

  test("carries much without holding it", async () => {
    const { operator, connect } = makeWorld((channel) => {
      channel.accept();
      channel.readable("in").resume();
      channel.writable("out").end();
    });
    connect(createCarrierPair({ room: 16 }));
    const channel = operator.open(DIAL);
    channel.readable("out").resume();
    let most = 0;
    const chunk = Buffer.alloc(65_536, 1);
    await pipeline(
      Readable.from(
        (function* () {
          for (let turn = 0; turn < 1600; turn++) {
            most = Math.max(most, operator.stats().unackedBytes);
            yield chunk;
          }
        })(),
      ),
      new Writable({
        write: (bytes, _encoding, done) => {
          channel.writable("in").write(bytes, done);
        },
        final: (done) => {
          channel.writable("in").end(done);
        },
      }),
    );
    await channel.closed;
    expect(most).toBeLessThan(17 * 1024 * 1024);
  });
});
