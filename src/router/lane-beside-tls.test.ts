import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { connect as connectTls, createServer as createTls } from "node:tls";
import { afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { createFakeClock, type FakeClock } from "../base/clock.fake.ts";
import { systemClock } from "../base/clock.ts";
import { BARE_PREFACE, BARE_PROTOCOL } from "../base/grpc/bare-stream.ts";
import { splitHandshakes } from "../base/split-handshakes.ts";
import { newKeyPair } from "../remote/proof-hub.fake.ts";
import { awaitProof, proveToBox } from "../remote/proven-carrier.ts";
import { createRouterDialler, type RouterDialler } from "../remote/router-dialler.ts";
import { joinMessage, listen, ROUTER_ID, type RouterUnderTest, startRouter, ticketFor } from "./router.fake.ts";

const FIRST_BYTES_MS = 10_000;
const never = new AbortController().signal;
let identity: { readonly cert: string; readonly key: string };
let world: RouterUnderTest;
let clock: FakeClock;
let port: number;
const life: (() => unknown)[] = [];
const diallers: RouterDialler[] = [];

beforeAll(() => {
  const directory = mkdtempSync(joinPath(tmpdir(), "sluice-front-"));
  const [cert, key] = [joinPath(directory, "cert"), joinPath(directory, "key")];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-keyout", key];
  const names = ["-subj", "/CN=router", "-addext", "subjectAltName=IP:127.0.0.1"];
  execFileSync("openssl", ["req", "-x509", ...kind, ...names, "-out", cert], { stdio: "ignore" });
  identity = { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
  rmSync(directory, { recursive: true, force: true });
});
beforeEach(async () => {
  world = await startRouter({ hasLanes: true });
  clock = createFakeClock();
  const server = createTls({ ...identity, ALPNProtocols: [BARE_PROTOCOL, "h2"] }, (socket) =>
    world.router.serve(socket),
  );
  server.on("tlsClientError", () => undefined);
  const serveOther = (socket: Socket) => world.router.serve(socket, { isLaneOnly: true });
  splitHandshakes(server, { serveOther, firstBytesMs: FIRST_BYTES_MS }, { clock });
  server.on("connection", (socket) => life.push(() => socket.destroy()));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  life.push(() => server.close());
  port = (server.address() as AddressInfo).port;
});
afterEach(async () => {
  for (const dialler of diallers.splice(0)) dialler.close();
  for (const end of life.splice(0)) end();
  await world.close();
});

function join(side: "operator" | "box") {
  const dialler = createRouterDialler({ client: "test/1" }, { clock: systemClock, authorities: () => [] });
  diallers.push(dialler);
  const router = { id: ROUTER_ID, url: `https://127.0.0.1:${port}`, ca: identity.cert };
  return dialler.join({ router, ticket: ticketFor({ side }), traffic: "piped", isSealed: false }, {}, never);
}

function open(first: string | Uint8Array) {
  const socket = connect(port, "127.0.0.1");
  life.push(() => socket.destroy());
  socket.on("error", () => undefined);
  if (first.length > 0) socket.write(first);
  socket.resume();
  return { socket, closed: new Promise<void>((resolve) => socket.once("close", () => resolve())) };
}

it("leads calls with TLS to the router, and lanes beside them on the same port", async () => {
  const [operator, box] = await Promise.all([join("operator"), join("box")]);
  const [operatorKeys, boxKeys] = [newKeyPair(), newKeyPair()];
  const facts = { session: "s-1", box: "edge-001", attempt: 1, isSealed: false };
  const deps = { clock: systemClock };
  const waiting = awaitProof(box, { ...facts, boxKey: boxKeys.privateKey }, () => operatorKeys.key, deps, never);
  const task = { ...facts, ticket: "ticket", privateKey: operatorKeys.privateKey, boxKey: boxKeys.key };
  const here = await proveToBox(operator, task, deps);
  const frame = Buffer.alloc(100_000, 7);
  here.send([frame]);
  const there = listen(await waiting);
  await expect.poll(() => there.frames.map((one) => one.equals(frame))).toEqual([true]);
  expect(world.router.metrics()).toContain("router_grpc_lanes_active 1");
});

it("takes nothing but a lane without TLS, so that no ticket is ever said in clear", async () => {
  await Promise.all(
    [
      Buffer.concat([BARE_PREFACE, joinMessage(ticketFor())]),
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: router\r\n\r\n",
    ].map((first) => open(first).closed),
  );
  expect(world.router.list()).toEqual([]);
});

it("takes a handshake that comes in pieces, and one that is too large or none for none", async () => {
  const { promise: first, resolve } = Promise.withResolvers<Buffer>();
  const hello = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", resolve);
  });
  hello.listen(0, "127.0.0.1");
  await once(hello, "listening");
  life.push(() => hello.close());
  const asking = connectTls({ port: (hello.address() as AddressInfo).port, ALPNProtocols: ["h2"] });
  asking.on("error", () => undefined);
  life.push(() => asking.destroy());
  const bytes = await first;
  const slow = connect(port, "127.0.0.1");
  life.push(() => slow.destroy());
  slow.on("error", () => undefined);
  slow.setNoDelay(true);
  for (const byte of bytes) {
    slow.write(Buffer.of(byte));
    await new Promise((done) => setImmediate(done));
  }
  const [answer] = await once(slow, "data");
  expect(answer[0]).toBe(0x16);
  await open(Buffer.concat([Buffer.of(0x16, 3, 1, 0xff, 0xff), Buffer.alloc(70_000)])).closed;
});

it("lets go of who says nothing in time", async () => {
  const silent = open("");
  await expect.poll(() => clock.pending()).toBe(1);
  await clock.advance(FIRST_BYTES_MS);
  await silent.closed;
});
