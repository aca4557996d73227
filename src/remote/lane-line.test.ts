import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext, TLSSocket } from "node:tls";
import { afterEach, expect, it } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { systemClock } from "../base/clock.ts";
import { dialLane, sealLane } from "./lane-line.ts";

const KEY = Buffer.alloc(32, 7);
const LIMIT_MS = 5000;
const life: (() => unknown)[] = [];
afterEach(() => {
  for (const end of life.splice(0)) end();
});

async function listenWith(serve: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    life.push(() => socket.destroy());
    serve(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  life.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function pairOf(): Promise<readonly [Socket, Socket]> {
  const accepted = Promise.withResolvers<Socket>();
  const near = connect(await listenWith(accepted.resolve), "127.0.0.1");
  life.push(() => near.destroy());
  await once(near, "connect");
  return [near, await accepted.promise];
}

const seal = (socket: Socket, side: "operator" | "box", key: Uint8Array = KEY) =>
  sealLane(socket, { key, side, limitMs: LIMIT_MS }, { clock: systemClock });

it("agrees on TLS 1.3 with an ephemeral exchange between two that have the same key", async () => {
  const [near, far] = await pairOf();
  const [operator, box] = await Promise.all([seal(near, "operator"), seal(far, "box")]);
  expect([operator.getProtocol(), operator.getCipher().name]).toEqual(["TLSv1.3", "TLS_AES_128_GCM_SHA256"]);
  expect(operator.getEphemeralKeyInfo()).not.toBeNull();
  box.write("from the box");
  expect(String((await once(operator, "data"))[0])).toBe("from the box");
  operator.end();
  box.resume();
  await once(box, "end");
});

it("refuses an end that has another key", async () => {
  const [near, far] = await pairOf();
  const ends = await Promise.allSettled([seal(near, "operator"), seal(far, "box", Buffer.alloc(32, 8))]);
  expect(ends.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
});

it("refuses a server that shows a certificate in the place of the key", async () => {
  const directory = mkdtempSync(join(tmpdir(), "sluice-lane-"));
  const [certFile, keyFile] = [join(directory, "cert"), join(directory, "key")];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-keyout", keyFile];
  execFileSync("openssl", ["req", "-x509", ...kind, "-subj", "/CN=localhost", "-out", certFile], { stdio: "ignore" });
  const identity = { cert: readFileSync(certFile), key: readFileSync(keyFile) };
  rmSync(directory, { recursive: true, force: true });
  const [near, far] = await pairOf();
  const rogue = new TLSSocket(far, { isServer: true, secureContext: createSecureContext(identity) });
  rogue.on("error", () => undefined);
  await expect(seal(near, "operator")).rejects.toMatchObject({ code: "unavailable" });
});

it("gives up an end that does not answer", async () => {
  const [near] = await pairOf();
  const clock = createFakeClock();
  const sealed = sealLane(near, { key: KEY, side: "operator", limitMs: LIMIT_MS }, { clock });
  const refused = expect(sealed).rejects.toThrow("no answer within 5 s");
  await clock.advance(LIMIT_MS);
  await refused;
});

it.each([
  [
    "another answer than a router's",
    (socket: Socket): void => void socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"),
    "unsupported",
  ],
  ["an end at once", (socket: Socket): void => void socket.destroy(), "unavailable"],
] as const)("has no lane where there is %s", async (_, serve, code) => {
  const url = `http://127.0.0.1:${await listenWith(serve)}`;
  const dialled = dialLane({ url, token: "0".repeat(32), limitMs: LIMIT_MS }, { clock: systemClock });
  await expect(dialled.ready).rejects.toMatchObject({ code });
  expect(dialled.socket.destroyed).toBe(true);
});

it("has no lane where nobody listens, and where the other end does not come in time", async () => {
  const gone = dialLane(
    { url: "http://127.0.0.1:1", token: "0".repeat(32), limitMs: LIMIT_MS },
    { clock: systemClock },
  );
  await expect(gone.ready).rejects.toMatchObject({ code: "unsupported" });
  const clock = createFakeClock();
  const url = `http://127.0.0.1:${await listenWith(() => undefined)}`;
  const alone = dialLane({ url, token: "0".repeat(32), limitMs: LIMIT_MS }, { clock });
  const refused = expect(alone.ready).rejects.toThrow("nobody came within 5 s");
  await clock.advance(LIMIT_MS);
  await refused;
});
