import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { helloFrame } from "../wire/data-dial.ts";
import { FRAME, FRAME_HEAD_BYTES, jsonFrame } from "../wire/frames.ts";
import { itemsMessage } from "../wire/link-messages.ts";
import { openWorkerWorld, type WorkerWorld } from "../worker-world.fake.ts";
import { startDataServer } from "./data-server.ts";

const quiet = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined };
let world: WorkerWorld | undefined;
let life = new AbortController();
beforeEach(() => {
  life = new AbortController();
});
afterEach(() => {
  life.abort();
  world?.close();
});

it("who connects and does not say who it is within 10 s is cut, also where it says it by the byte", async () => {
  world = await openWorkerWorld();
  const clock = createFakeClock();
  const server = await startDataServer(
    { host: "127.0.0.1", port: 0, allowsPlain: true },
    {
      ...world.source.context.serveDeps,
      clock,
      log: quiet,
      identity: () => {
        throw new TypeError("nobody speaks TLS here");
      },
      takePushed: () => false,
      onSent: () => undefined,
      signal: life.signal,
    },
  );
  const { port } = server.address() as AddressInfo;
  const [silent, dripping] = [connect(port, "127.0.0.1"), connect(port, "127.0.0.1")];
  const ended = [silent, dripping].map((socket) => {
    socket.on("error", () => undefined);
    return once(socket, "close");
  });
  await expect.poll(() => new Promise((done) => server.getConnections((_, count) => done(count)))).toBe(2);
  const hello = helloFrame("pull", "a ticket");
  for (let second = 0; second < 10; second++) {
    expect([silent.closed, dripping.closed]).toEqual([false, false]);
    dripping.write(hello.subarray(second, second + 1));
    await clock.advance(990);
  }
  await clock.advance(100);
  await Promise.all(ended);
});

describe("of who comes with a ticket", () => {
  interface Told {
    readonly type: number;
    readonly body: unknown;
  }

  /** The first frame that is answered. */
  const answerTo = (socket: Duplex, ...frames: readonly Buffer[]): Promise<Told | undefined> => {
    socket.on("error", () => undefined);
    socket.write(Buffer.concat(frames));
    return new Promise((resolve) => {
      let came = Buffer.alloc(0);
      socket.on("data", (bytes: Buffer) => {
        came = Buffer.concat([came, bytes]);
        if (came.length < FRAME_HEAD_BYTES) return;
        const end = FRAME_HEAD_BYTES + came.readUInt32BE(1);
        const type = came[0] ?? 0;
        if (came.length < end) return;
        const isText = type === FRAME.refused || type === FRAME.failed;
        const body: unknown = isText ? JSON.parse(came.toString("utf8", FRAME_HEAD_BYTES, end)) : undefined;
        resolve({ type, body });
      });
      socket.once("close", () => resolve(undefined));
    });
  };
  const prepare = async (trusted: boolean) => {
    world = await openWorkerWorld({ trusted });
    mkdirSync(join(world.directory, "source/tree"));
    writeFileSync(join(world.directory, "source/tree/file"), "what lies there");
    const items = (await world.list()).slice(1).map((entry) => ({ entry, offset: 0, length: entry.size }));
    const want = { wants: [[0, 0]], sparse: false, key: "0".repeat(32) };
    const asked = [jsonFrame(FRAME.items, itemsMessage(items)), jsonFrame(FRAME.want, want)];
    return { items, asked, here: world };
  };
  const refused = (code: string) => ({ type: FRAME.refused, body: expect.objectContaining({ code }) });

  it("over TLS, one that shows no certificate is not the one that the ticket names", async () => {
    const { items, asked, here } = await prepare(false);
    const at = { host: "127.0.0.1", port: here.source.port, rejectUnauthorized: false } as const;
    const named = here.ticket(items, { cert: here.destination.sha256 });
    const ask = (ticket: string) => answerTo(connectTls(at), helloFrame("pull", ticket), ...asked);
    expect(await ask(named)).toEqual(refused("denied"));
    const bringing = helloFrame("push", here.ticket(items, { cert: here.source.sha256 }));
    const bring = answerTo(connectTls({ ...at, port: here.destination.port }), bringing);
    expect(await bring).toEqual(refused("denied"));
    // Of a worker of which the hub knows no certificate there is nothing to hold against it.
    expect((await ask(here.ticket(items)))?.type).not.toBe(FRAME.refused);
  });

  it("nothing is read of a storage that transfers may not read", async () => {
    const { items, asked, here } = await prepare(true);
    const { storage } = here.source;
    const server = await startDataServer(
      { host: "127.0.0.1", port: 0, allowsPlain: true },
      {
        ...here.source.context.serveDeps,
        storageOf: () => ({ ...storage, read: false }),
        log: quiet,
        identity: () => {
          throw new TypeError("nobody speaks TLS here");
        },
        takePushed: () => false,
        onSent: () => undefined,
        signal: life.signal,
      },
    );
    const hello = helloFrame("pull", here.ticket(items));
    const ask = (port: number) => answerTo(connect(port, "127.0.0.1"), hello, ...asked);
    expect(await ask((server.address() as AddressInfo).port)).toEqual(refused("denied"));
    expect((await ask(here.source.port))?.type).not.toBe(FRAME.refused);
  });

  it("who brings bytes is taken once, for the attempt of the lease that waits, and never by the ticket of who receives", async () => {
    const { items, here } = await prepare(true);
    const push = (claims: object = {}) =>
      answerTo(connect(here.destination.port, "127.0.0.1"), helloFrame("push", here.ticket(items, claims)));
    expect(await push()).toEqual(refused("fenced"));
    const waiting = here.destination.context.awaitPushed("lease", 2, life.signal);
    expect(await push({ att: 1 })).toEqual(refused("fenced"));
    expect(await push({ att: 2, lease: "other" })).toEqual(refused("fenced"));
    expect(await push({ att: 2, dst: "another" })).toEqual(refused("denied"));
    expect(await push({ att: 2, src: "destination", dst: "another" })).toEqual(refused("denied"));
    const taken = push({ att: 2 });
    const link = await waiting;
    // The same once more, while the first still brings them.
    expect(await push({ att: 2 })).toEqual(refused("fenced"));
    link.close();
    expect(await taken).toBeUndefined();
  });
});
