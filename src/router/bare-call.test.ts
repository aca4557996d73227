import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createHttp2 } from "node:http2";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { createServer as createTls, type TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { systemClock } from "../base/clock.ts";
import { BARE_PREFACE, BARE_PROTOCOL, startsBare } from "../base/grpc/bare-stream.ts";
import { prefixMessage } from "../base/grpc/grpc-messages.ts";
import type { Carrier } from "../remote/carrier.ts";
import { createRouterDialler, type RouterDialler, type Traffic } from "../remote/router-dialler.ts";
import { joinMessage, listen, ROUTER_ID, type RouterUnderTest, startRouter, ticketFor } from "./router.fake.ts";

let world: RouterUnderTest;
let life: AsyncDisposableStack;
const diallers: RouterDialler[] = [];
beforeEach(async () => {
  world = await startRouter();
  life = new AsyncDisposableStack();
});
afterEach(async () => {
  for (const dialler of diallers.splice(0)) dialler.close();
  await life.disposeAsync();
  await world.close();
});

function newDialler(): RouterDialler {
  const dialler = createRouterDialler({ client: "test/1" }, { clock: systemClock, authorities: () => [] });
  diallers.push(dialler);
  return dialler;
}

function join(
  side: "operator" | "box",
  traffic: Traffic,
  router: { readonly url?: string; readonly ca?: string } = {},
  dialler = newDialler(),
) {
  return dialler.join(
    { router: { id: ROUTER_ID, url: world.url, ...router }, ticket: ticketFor({ side }), traffic, isSealed: false },
    {},
    new AbortController().signal,
  );
}

/** Hands connections on that speak HTTP/2; bare ones end as at a router that does not know them. */
async function startOldRouter(): Promise<{ readonly url: string; readonly bare: () => number }> {
  const old = createHttp2();
  const sockets = new Set<Socket>();
  let bare = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("data", (first: Buffer) => {
      socket.pause();
      socket.unshift(first);
      if (startsBare(first) === false) return world.router.serve(socket);
      bare += 1;
      old.emit("connection", socket);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  life.defer(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, bare: () => bare };
}

async function startTls(protocols: readonly string[]) {
  const directory = mkdtempSync(joinPath(tmpdir(), "sluice-bare-"));
  const [cert, key] = [joinPath(directory, "cert"), joinPath(directory, "key")];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-keyout", key];
  const names = ["-subj", "/CN=router", "-addext", "subjectAltName=IP:127.0.0.1"];
  execFileSync("openssl", ["req", "-x509", ...kind, ...names, "-out", cert], { stdio: "ignore" });
  const spoken: unknown[] = [];
  const sockets = new Set<TLSSocket>();
  const identity = { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
  rmSync(directory, { recursive: true, force: true });
  const server = createTls({ ...identity, ALPNProtocols: [...protocols] }, (socket) => {
    spoken.push(socket.alpnProtocol);
    sockets.add(socket);
    world.router.serve(socket);
  });
  server.on("tlsClientError", () => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  life.defer(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { router: { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, ca: identity.cert }, spoken };
}

describe.each([
  ["both without HTTP/2", "piped", "piped"],
  ["the box on HTTP/2", "piped", "bulk"],
  ["the operator on HTTP/2", "bulk", "piped"],
] as const)("%s", (_, operatorTraffic, boxTraffic) => {
  const meet = () => Promise.all([join("operator", operatorTraffic), join("box", boxTraffic)]);

  it("carries frames of any size in both directions, and their end in order", async () => {
    const [operator, box] = await meet();
    expect([operator.peerClient, operator.routerId, operator.sessionId]).toEqual(["test/1", ROUTER_ID, "s-1"]);
    const [atOperator, atBox] = [listen(operator), listen(box)];
    const sent = [1, 127, 128, 2048, 65_600, 1_000_000].map((length) => Buffer.alloc(length, length % 251));
    for (const frame of sent) operator.send([frame.subarray(0, 1), frame.subarray(1)]);
    for (const frame of sent.toReversed()) box.send([frame]);
    await expect
      .poll(() => atOperator.frames.map(({ length }) => length))
      .toEqual(sent.map(({ length }) => length).toReversed());
    operator.finish();
    expect((await atBox.end).reason).toBe("peer-done");
    expect(atBox.frames.map((frame, index) => frame.equals(sent[index] ?? Buffer.alloc(0)))).toEqual(
      sent.map(() => true),
    );
    box.finish();
    expect((await atOperator.end).reason).toBe("peer-done");
    await expect.poll(() => world.router.list()).toEqual([]);
    const [{ session } = { session: undefined }] = world.events.filter(({ kind }) => kind === "ended");
    expect(session?.bytesToBox).toBeGreaterThan(1_067_000);
    expect(session?.bytesFromBox).toBe(session?.bytesToBox);
  });

  it.each([
    ["the box is cut", (box: Carrier) => box.cut(), "peer-lost"],
    ["the session is ended", () => world.router.terminate("s-1", "by bob"), "terminated"],
    ["the box joins again", () => void join("box", boxTraffic).catch(() => undefined), "peer-lost"],
  ])("tells the operator when %s", async (_what, act, reason) => {
    const [operator, box] = await meet();
    const atOperator = listen(operator);
    listen(box);
    act(box);
    expect((await atOperator.end).reason).toBe(reason);
  });

  it("holds the sender while the other end does not read, and loses nothing", async () => {
    const [operator, box] = await meet();
    listen(operator);
    const frame = Buffer.alloc(65_536, 7);
    let sent = 0;
    // Without a turn between, this end alone would say so: the kernel is to be full.
    while (sent < 4096) {
      sent += 1;
      if (!operator.send([frame]) && (world.router.list()[0]?.boxStalledMs ?? 0) > 0) break;
      if (sent % 8 === 0) await new Promise((done) => setTimeout(done, 1));
    }
    expect(sent, "frames of 64 KiB that were taken for a box that reads none").toBeLessThan(4096);
    const atBox = listen(box);
    await expect.poll(() => atBox.frames.length).toBe(sent);
    expect(atBox.frames.every((one) => one.equals(frame))).toBe(true);
    await expect.poll(() => world.router.list()[0]?.boxStalledMs).toBe(0);
  });
});

it("refuses in words, with the code of the reason", async () => {
  const dialler = newDialler();
  const wrong = {
    router: { id: ROUTER_ID, url: world.url },
    ticket: "none",
    traffic: "piped",
    isSealed: false,
  } as const;
  await expect(dialler.join(wrong, {}, new AbortController().signal)).rejects.toMatchObject({ code: "unauthorized" });
  const other = {
    router: { id: ROUTER_ID, url: world.url },
    ticket: ticketFor({ aud: "router-2" }),
    traffic: "piped",
    isSealed: false,
  } as const;
  await expect(dialler.join(other, {}, new AbortController().signal)).rejects.toMatchObject({ code: "refused" });
});

it("gives up a call that is waited for when its caller does", async () => {
  const life = new AbortController();
  const dialler = newDialler();
  const waiting = Promise.withResolvers<string>();
  const target = {
    router: { id: ROUTER_ID, url: world.url },
    ticket: ticketFor(),
    traffic: "piped",
    isSealed: false,
  } as const;
  const joined = dialler.join(target, { onWaiting: waiting.resolve }, life.signal);
  expect(await waiting.promise).toContain("waiting for the box");
  life.abort(new Error("enough"));
  await expect(joined).rejects.toThrow("enough");
  await expect.poll(() => world.router.list()).toEqual([]);
});

it.each([
  ["a message that is no frame", (send: (bytes: Uint8Array) => void) => send(prefixMessage(Buffer.from([0x0a, 0])))],
  ["a message of 2 GiB", (send: (bytes: Uint8Array) => void) => send(Buffer.from([0, 0x7f, 0xff, 0xff, 0xff, 0x12]))],
  ["a record that no call has", (send: (bytes: Uint8Array) => void) => send(Buffer.from([0x41, 0, 0, 0, 0]))],
])("ends a session one of whose ends sends %s", async (_, act) => {
  const socket = connect(world.port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.resume();
  life.defer(async () => void socket.destroy());
  socket.write(Buffer.concat([BARE_PREFACE, joinMessage(ticketFor())]));
  const box = await join("box", "bulk");
  const { end, frames } = listen(box);
  act((bytes) => socket.write(bytes));
  expect((await end).reason).toMatch(/^(protocol|peer-lost)$/);
  expect(frames).toEqual([]);
  await once(socket, "close");
});

it("tells both ends that the router drains", async () => {
  const [operator, box] = await Promise.all([join("operator", "piped"), join("box", "piped")]);
  const ends = [listen(operator).end, listen(box).end];
  const drained = world.router.drain(1000);
  expect((await Promise.all(ends)).map(({ reason }) => reason)).toEqual(["draining", "draining"]);
  await drained;
});

it("lets go of who begins no call in time, and of ends that are silent for longer than any lives", async () => {
  const clock = createFakeClock();
  const slow = await startRouter({}, { clock });
  life.defer(slow.close);
  const open = (first: string | Uint8Array) => {
    const socket = connect(slow.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write(first);
    socket.resume();
    return { socket, closed: once(socket, "close") };
  };
  const late = ["PRI", BARE_PREFACE, Buffer.concat([BARE_PREFACE, Buffer.alloc(3)])].map(open);
  const ends = (["operator", "box"] as const).map((side) =>
    open(Buffer.concat([BARE_PREFACE, joinMessage(ticketFor({ side }, clock.wallMs()))])),
  );
  await expect.poll(() => slow.router.list().map(({ state }) => state)).toEqual(["open"]);
  await expect.poll(() => /router_grpc_connections (\d+)/.exec(slow.router.metrics())?.[1]).toBe("5");
  await clock.advance(11_000);
  await Promise.all(late.map(({ closed }) => closed));
  for (let second = 0; second < 80; second++) await clock.advance(1000);
  expect(ends.map(({ socket }) => socket.destroyed)).toEqual([false, false]);
  await clock.advance(20_000);
  await Promise.all(ends.map(({ closed }) => closed));
  await expect.poll(() => slow.router.list()).toEqual([]);
});

it("is handed on to the router that its ticket is for, with its end", async () => {
  const peers = {
    get: (id: string) => (id === ROUTER_ID ? { id, url: world.url } : undefined),
    refresh: async () => {},
  };
  const wrong = await startRouter({ id: "router-2" }, { peers });
  life.defer(wrong.close);
  const [operator, box] = await Promise.all([join("operator", "piped", { url: wrong.url }), join("box", "piped")]);
  expect([operator.routerId, world.router.list().length, wrong.router.list().length]).toEqual([ROUTER_ID, 1, 0]);
  const [atOperator, atBox] = [listen(operator), listen(box)];
  const frame = Buffer.alloc(2_000_000, 5);
  operator.send([frame]);
  box.send([frame]);
  await expect.poll(() => [atOperator, atBox].map(({ frames }) => frames[0]?.equals(frame))).toEqual([true, true]);
  box.finish();
  expect((await atOperator.end).reason).toBe("peer-done");
  expect((await atBox.end).reason).toBe("peer-done");
  await expect.poll(() => wrong.router.metrics()).toContain("router_grpc_calls_handed_on 0");
});

it("goes on with HTTP/2 where a router does not know bare calls", async () => {
  const old = await startOldRouter();
  const dialler = newDialler();
  const at = { url: old.url };
  await expect(join("operator", "piped", at, dialler)).rejects.toMatchObject({ code: "unavailable" });
  const [operator] = await Promise.all([join("operator", "piped", at, dialler), join("box", "piped")]);
  expect(operator.sessionId).toBe("s-1");
  expect(old.bare()).toBe(1);
});

it.each([
  ["bare where both know it", [BARE_PROTOCOL, "h2"]],
  ["HTTP/2 where the router knows only that", ["h2"]],
])("agrees in the handshake of TLS on what is spoken: %s", async (_, protocols) => {
  const { router, spoken } = await startTls(protocols);
  const [operator, box] = await Promise.all([join("operator", "piped", router), join("box", "piped", router)]);
  const atBox = listen(box);
  listen(operator);
  const frame = Buffer.alloc(300_000, 9);
  operator.send([frame]);
  await expect.poll(() => atBox.frames.map((one) => one.equals(frame))).toEqual([true]);
  expect([...new Set(spoken)]).toEqual([protocols[0]]);
});
