import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { GrantedTarget } from "../contract/remote/remote-grant.ts";
import type { Channel } from "../remote/channel.ts";
import type { AskPlace } from "./ask-place.ts";
import { createRemoteWorld, type RemoteWorld } from "./remote-world.fake.ts";
import { resolveTarget } from "./resolve-target.ts";

let world: RemoteWorld;
let servers: { close(): unknown }[] = [];
beforeEach(() => {
  world = createRemoteWorld();
});
afterEach(async () => {
  for (const server of servers) server.close();
  servers = [];
  await world.close();
});

async function serve(onSocket: (socket: Socket) => void, host = "127.0.0.1"): Promise<number> {
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    onSocket(socket);
  });
  servers.push(server);
  server.listen(0, host);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}
const target = (port: number, extra: Partial<GrantedTarget> = {}): GrantedTarget => ({
  protocol: "tcp",
  host: "127.0.0.1",
  from: port,
  to: port,
  reach: "any",
  ...extra,
});
const forwardTo = (...targets: GrantedTarget[]) => world.begin({ kind: "forward", targets }).session;
const dial = (port: number, host = "127.0.0.1") => ({ kind: "dial", host, port }) as const;
const echo = (socket: Socket) => void socket.pipe(socket);

describe("TCP", () => {
  test("each direction ends for itself, in both orders, with every byte", async () => {
    const bytes = Buffer.alloc(3_000_000, 7);
    // The one answers when it has heard all, the other speaks first, ends, and goes on listening.
    const late = await serve((socket) => void buffer(socket).then((all) => socket.end(`got ${all.length}`)));
    const heard = Promise.withResolvers<number>();
    const early = await serve((socket) => {
      socket.end(bytes);
      void buffer(socket).then((all) => heard.resolve(all.length));
    });
    const session = forwardTo(target(late), target(early));
    const first = session.open(dial(late));
    first.writable("in").end(bytes);
    expect((await buffer(first.readable("out"))).toString()).toBe("got 3000000");
    expect(await first.closed).toEqual({});
    const second = session.open(dial(early));
    expect((await buffer(second.readable("out"))).length).toBe(3_000_000);
    second.writable("in").end("still here");
    expect(await heard.promise).toBe(10);
  });

  test("a reset of one connection, at either end, harms no other", async () => {
    const sockets: Socket[] = [];
    const port = await serve((socket) => {
      sockets.push(socket);
      echo(socket);
    });
    const session = forwardTo(target(port));
    const channels = Array.from({ length: 20 }, () => session.open(dial(port)));
    await Promise.all(channels.map(({ opened }) => opened));
    await expect.poll(() => sockets.length).toBe(20);
    const say = async (channel: Channel, text: string) => {
      channel.writable("in").write(text);
      const [answer] = await once(channel.readable("out"), "data");
      return String(answer);
    };
    expect(await Promise.all(channels.map((channel, index) => say(channel, `a${index}`)))).toHaveLength(20);
    sockets[0]?.resetAndDestroy();
    channels[19]?.reset(Object.assign(new Error("gone"), { code: "cancelled" }) as never);
    const reset = await Promise.race([...channels.slice(0, 19).map(({ closed }) => closed)]);
    expect(reset.error).toMatchObject({ code: "unavailable", message: expect.stringContaining("ECONNRESET") });
    await expect.poll(() => sockets.filter(({ destroyed }) => destroyed).length).toBe(2);
    const isOver = await Promise.all(
      channels.map((channel) =>
        Promise.race([channel.closed.then(() => true), systemClock.delay(20).then(() => false)]),
      ),
    );
    const living = channels.filter((_, index) => isOver[index] === false);
    expect(living).toHaveLength(18);
    expect(await Promise.all(living.map((channel) => say(channel, "still")))).toEqual(living.map(() => "still"));
  });

  test("what cannot be reached is told apart, within its limit", async () => {
    const port = await serve(echo);
    const session = forwardTo(target(1), target(port, { host: "no-such-name.invalid", reach: "named" }));
    const ends = await Promise.all(
      [dial(1), dial(port, "no-such-name.invalid"), dial(port)].map((what) =>
        session.open(what).opened.then(
          () => "open",
          (thrown: { code: string; message: string }) => `${thrown.code} ${thrown.message}`,
        ),
      ),
    );
    expect(ends[0]).toMatch(/^unavailable .*refused/);
    expect(ends[1]).toMatch(/^(?:not-found|timeout) .*looked up/);
    expect(ends[2]).toMatch(/^refused this session was not opened for 127\.0\.0\.1/);
  }, 15_000);

  test("a name leads to other machines only, and to the addresses that were judged", async () => {
    const named = { host: "camera.lan", reach: "named" } as const;
    const cases: [string[], string[] | string][] = [
      [["192.0.2.7"], ["192.0.2.7"]],
      [["127.0.0.1", "192.0.2.7"], ["192.0.2.7"]],
      [["127.0.0.1"], "refused"],
      [["::ffff:127.0.0.1"], "refused"],
      [["169.254.169.254"], "refused"],
      [["fe80::1"], "refused"],
      [["0.0.0.0"], "refused"],
      [["::"], "refused"],
      [["64:ff9b::7f00:1"], "refused"],
    ];
    for (const [found, expected] of cases) {
      const result = await resolveTarget(named, async () => found).catch((thrown: { code: string }) => thrown.code);
      expect(result, found.join()).toEqual(expected);
    }
    expect(await resolveTarget({ host: "localhost", reach: "named" }, async () => ["127.0.0.1", "192.0.2.7"])).toEqual([
      "127.0.0.1",
    ]);
    expect(await resolveTarget({ ...named, reach: "any" }, async () => ["127.0.0.1"])).toEqual(["127.0.0.1"]);
  });

  test("IPv6 is one of the ways", async ({ skip }) => {
    const port = await serve(echo, "::1").catch(() => undefined);
    if (port === undefined) return skip("this machine has no IPv6");
    const channel = forwardTo(target(port, { host: "::1" })).open(dial(port, "0:0:0:0:0:0:0:1"));
    channel.writable("in").end("six");
    expect((await buffer(channel.readable("out"))).toString()).toBe("six");
  });
});

describe("UDP", () => {
  test("carries whole datagrams of each flow from a socket of its own, and ends in order", async () => {
    const server = createSocket({ type: "udp4", recvBufferSize: 1024 * 1024 });
    servers.push(server);
    const ports = new Set<number>();
    server.on("message", (bytes, { port, address }) => {
      ports.add(port);
      server.send(bytes, port, address);
    });
    server.bind(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address();
    const session = forwardTo(target(port, { protocol: "udp" }));
    const channel = session.open({ kind: "associate", host: "127.0.0.1", port });
    const got = new Map<number, string[]>();
    channel.on({
      onDatagram: (flow, bytes) => void got.set(flow, [...(got.get(flow) ?? []), `${bytes.length}:${bytes[0] ?? ""}`]),
    });
    await channel.opened;
    for (const [flow, size, value] of [
      [1, 65_507, 1],
      [2, 1, 2],
      [1, 0, 0],
      [2, 1200, 3],
    ] as const) {
      channel.sendDatagram(flow, Buffer.alloc(size, value));
      await systemClock.delay(30);
    }
    await expect.poll(() => Object.fromEntries(got)).toEqual({ 1: ["65507:1", "0:"], 2: ["1:2", "1200:3"] });
    expect(ports.size).toBe(2);
    channel.writable("in").end();
    expect(await channel.closed).toEqual({});
    const other = session.open({ kind: "associate", host: "127.0.0.1", port: port + 1 });
    await expect(other.opened).rejects.toMatchObject({ code: "refused" });
  });
});

describe("a session's ports", () => {
  test("lead to where the agent says at each connection, and nowhere else", async () => {
    const first = await serve((socket) => socket.end("first"));
    const second = await serve((socket) => socket.end("second"));
    let place: { address: string; port: number } | undefined = { address: "127.0.0.1", port: first };
    const askPlace: AskPlace = async () => place ?? Promise.reject(new AppError("conflict", "session app sleeps"));
    const own = createRemoteWorld({ askPlace });
    servers.push({ close: () => own.close() });
    const { session } = own.begin({ kind: "session", session: "app", ports: [{ port: 80, protocol: "tcp" }] });
    const read = async () => (await buffer(session.open(dial(80, "app")).readable("out"))).toString();
    expect(await read()).toBe("first");
    place = { address: "127.0.0.1", port: second };
    expect(await read()).toBe("second");
    place = undefined;
    await expect(session.open(dial(80, "app")).opened).rejects.toMatchObject({ code: "conflict" });
    const others = [
      dial(81, "app"),
      dial(80, "other"),
      dial(first),
      { ...dial(80, "app"), kind: "associate" as const },
    ];
    for (const other of others) await expect(session.open(other).opened).rejects.toMatchObject({ code: "refused" });
  });

  test("datagrams follow to another port by another association", async () => {
    const ports = await Promise.all(
      ["first", "second"].map(async (name) => {
        const server = createSocket("udp4");
        servers.push(server);
        server.on("message", (_bytes, { port, address }) => server.send(name, port, address));
        server.bind(0, "127.0.0.1");
        await once(server, "listening");
        return server.address().port;
      }),
    );
    let place = { address: "127.0.0.1", port: ports[0] ?? 0 };
    const own = createRemoteWorld({ askPlace: async () => place });
    servers.push({ close: () => own.close() });
    const { session } = own.begin({ kind: "session", session: "app", ports: [{ port: 53, protocol: "udp" }] });
    const associate = async () => {
      const channel = session.open({ kind: "associate", host: "app", port: 53 });
      const heard: string[] = [];
      channel.on({ onDatagram: (_flow, bytes) => void heard.push(Buffer.from(bytes).toString()) });
      await channel.opened;
      return { channel, heard };
    };
    const before = await associate();
    place = { address: "127.0.0.1", port: ports[1] ?? 0 };
    let error: { message: string } | undefined;
    void before.channel.closed.then((end) => {
      error = end.error;
    });
    await expect
      .poll(
        () => {
          before.channel.sendDatagram(1, Buffer.from("x"));
          return error?.message;
        },
        { timeout: 20_000, interval: 100 },
      )
      .toBe("its port on the box is another now");
    expect(before.heard).toContain("first");
    const after = await associate();
    await expect
      .poll(
        () => {
          after.channel.sendDatagram(1, Buffer.from("x"));
          return after.heard[0];
        },
        { timeout: 20_000, interval: 100 },
      )
      .toBe("second");
  });
});
