import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import type { Channel } from "../../remote/channel.ts";
import { createTestContext } from "../command-context.fake.ts";
import { runProgram } from "../program.ts";
import { type BoxHand, createFakeConsole, createRemoteWorld } from "./remote-world.fake.ts";

function start(args: readonly string[], hand: BoxHand, world = createRemoteWorld(hand)) {
  const fake = createFakeConsole();
  const stop = new AbortController();
  const base = createTestContext("/nowhere");
  const context = createTestContext("/nowhere", {
    env: { SLUICE_HUB: "https://hub.test", SLUICE_HUB_TOKEN: "t" },
    signal: stop.signal,
    connectHub: () => Promise.resolve(world.hub),
    remote: { ...base.remote, ...world.tools, openConsole: () => Promise.resolve(fake.console) },
  });
  const exit = runProgram(["forward", ...args], context);
  return { world, fake, context, stop, exit };
}

async function eventually(isSo: () => boolean): Promise<void> {
  for (let turn = 0; turn < 1000 && !isSo(); turn++) await systemClock.delay(10);
  expect(isSo()).toBe(true);
}

/** The local ports, as they are printed for programs. */
async function ports(run: ReturnType<typeof start>): Promise<readonly number[]> {
  await eventually(() => run.context.out().includes("\n"));
  const { forwards } = JSON.parse(run.context.out().split("\n")[0] ?? "");
  return forwards.map(({ local }: { local: string[] }) => Number(local[0]?.split(":").at(-1)));
}

async function dial(port = 0): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

function closing(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

async function readAll(socket: Socket): Promise<string> {
  let text = "";
  for await (const piece of socket) text += String(piece);
  return text;
}

/** Reads to the end first, then answers: what needs a half-close. */
const countAll: BoxHand = async (channel) => {
  channel.accept();
  let total = 0;
  for await (const piece of channel.readable("in")) total += (piece as Buffer).length;
  channel.writable("out").end(`${total} bytes`);
};

test("many connections, each with its own half-close", async () => {
  const run = start(["north-1", "0:80", "--json"], countAll);
  const [port] = await ports(run);
  const answers = Array.from({ length: 50 }, async (_none, index) => {
    const socket = await dial(port);
    socket.end(Buffer.alloc(index * 10_000));
    return readAll(socket);
  });
  expect(await Promise.all(answers)).toEqual(Array.from({ length: 50 }, (_none, index) => `${index * 10_000} bytes`));
  expect(run.world.created).toEqual([
    {
      box: "north-1",
      create: {
        operation: { kind: "forward", targets: [{ protocol: "tcp", host: "localhost", from: 80, to: 80 }] },
        seal: false,
      },
    },
  ]);
  run.stop.abort();
  expect(await run.exit).toBe(0);
});

test("the target's end comes first, and what is still sent arrives", async () => {
  let received = "";
  const run = start(["north-1", "0:80", "--json"], async (channel) => {
    channel.accept();
    channel.writable("out").end("bye");
    for await (const piece of channel.readable("in")) received += String(piece);
  });
  const socket = await dial((await ports(run))[0]);
  expect(await readAll(socket)).toBe("bye");
  socket.end("after the end");
  await eventually(() => received === "after the end");
  run.stop.abort();
  expect(await run.exit).toBe(0);
});

test("a reset is a reset, both ways, and harms no other connection", async () => {
  const resets: string[] = [];
  let number = 0;
  const run = start(["north-1", "0:80", "--json"], async (channel) => {
    const mine = number++;
    channel.accept();
    void channel.closed.then(({ error }) => error !== undefined && resets.push(`${mine} ${error.message}`));
    if (mine === 0) channel.reset(new AppError("unavailable", "the target reset it"));
    else channel.readable("in").pipe(channel.writable("out"));
  });
  const [port] = await ports(run);
  const first = await dial(port);
  const second = await dial(port);
  const third = await dial(port);
  await closing(first);
  expect(first.errored).toMatchObject({ code: "ECONNRESET" });
  second.write("x");
  await once(second, "data");
  second.resetAndDestroy();
  await eventually(() => resets.some((line) => line.startsWith("1 the local connection failed (ECONNRESET)")));
  third.end("still here");
  expect(await readAll(third)).toBe("still here");
  run.stop.abort();
  expect(await run.exit).toBe(0);
});

test("a target that is refused resets the connection, with one line", async () => {
  const run = start(["north-1", "0:cam:554", "--json"], (channel) =>
    channel.refuse(new AppError("refused", "policy: cam:554")),
  );
  const socket = await dial((await ports(run))[0]);
  await closing(socket);
  expect(socket.errored).toMatchObject({ code: "ECONNRESET" });
  expect(run.context.err()).toBe("sluice: cam:554 cannot be reached: policy: cam:554\n");
  run.stop.abort();
  await run.exit;
});

test("datagrams of every size, each answer to its own peer", async () => {
  const run = start(["north-1", "0:53/udp", "--json"], (channel) => {
    channel.on({ onDatagram: (flow, bytes) => channel.sendDatagram(flow, bytes) });
    channel.accept();
  });
  const [port = 0] = await ports(run);
  const sizes = [0, 1, 1472, 9013, 65_507];
  await systemClock.delay(50);
  const peers = await Promise.all(
    sizes.map(async (size) => {
      const socket = createSocket("udp4");
      socket.send(Buffer.alloc(size, size % 251), port, "127.0.0.1");
      const [bytes] = await once(socket, "message", { signal: AbortSignal.timeout(5000) });
      socket.close();
      return bytes as Buffer;
    }),
  );
  expect(peers.map((bytes) => bytes.length)).toEqual(sizes);
  run.stop.abort();
  expect(await run.exit).toBe(0);
  const last = run.context.out().trim().split("\n").at(-1) ?? "";
  expect(JSON.parse(last)).toMatchObject({ type: "ended", datagrams: { toBox: 5, fromBox: 5, droppedFromBox: 0 } });
});

test("a port that is taken is named with who holds it, before any session is opened", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const run = start(["north-1", `${port}:80`], countAll);
  expect(await run.exit).toBe(252);
  expect(run.context.err()).toMatch(new RegExp(`127.0.0.1:${port}/tcp is taken by .+ \\(process ${process.pid}\\)`));
  expect(run.world.created).toEqual([]);
  server.close();
});

test("when the session is lost for good another takes its place, and listeners stay open", async () => {
  const run = start(["north-1", "0:80", "--json"], countAll);
  const [port] = await ports(run);
  const before = await dial(port);
  before.end("1");
  expect(await readAll(before)).toBe("1 bytes");
  run.world.forget();
  run.world.carrier().break();
  await eventually(() => run.world.created.length === 2);
  const socket = await dial(port);
  socket.end("12345");
  expect(await readAll(socket)).toBe("5 bytes");
  expect(run.context.err()).toContain("connected to north-1 with a new session");
  run.stop.abort();
  expect(await run.exit).toBe(0);
});

test("connections live through a break of the link", async () => {
  const run = start(["north-1", "0:80", "--json"], countAll);
  const socket = await dial((await ports(run))[0]);
  socket.write(Buffer.alloc(100_000));
  await systemClock.delay(20);
  run.world.carrier().break();
  socket.end(Buffer.alloc(400_000));
  expect(await readAll(socket)).toBe("500000 bytes");
  expect(run.world.rejoins()).toBe(1);
  run.stop.abort();
  await run.exit;
});

test("--stdio joins standard input and output with one port", async () => {
  const run = start(["--stdio", "north-1", "22"], countAll);
  run.fake.stdin.end("ssh says hello");
  expect(await run.exit).toBe(0);
  expect(run.fake.out()).toBe("14 bytes");
  const refused = start(["--stdio", "north-1", "22"], (channel: Channel) =>
    channel.refuse(new AppError("refused", "policy")),
  );
  expect(await refused.exit).toBe(253);
  expect(refused.context.err()).toBe("sluice: policy\n");
});

test("what is no forward is refused before anything is asked", async () => {
  const run = start(["north-1", "80/sctp"], countAll);
  expect(await run.exit).toBe(254);
  expect(run.context.err()).toContain('given "80/sctp" (protocol "sctp": tcp or udp)');
});
