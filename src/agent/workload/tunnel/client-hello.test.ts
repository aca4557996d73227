import { createServer } from "node:net";
import { connect, createServer as createTlsServer } from "node:tls";
import { expect, test } from "vitest";
import { systemClock } from "../../../base/clock.ts";
import {
  alertName,
  buildClientHello,
  lowestOffered,
  NULL_SUITES,
  parseClientHello,
  readServerReply,
  USUAL_SUITES,
  versionName,
  WIRE_VERSIONS,
} from "./client-hello.ts";
import { probeRaw } from "./raw-probe.ts";

const random = Buffer.alloc(32, 9);
const life = { clock: systemClock, signal: new AbortController().signal };

test("what is built is read back", () => {
  const hello = buildClientHello({ version: WIRE_VERSIONS["1.1"], suites: NULL_SUITES, random });
  expect(parseClientHello(hello)).toEqual({ suites: NULL_SUITES, versions: undefined, highest: WIRE_VERSIONS["1.1"] });
});

test("no cut of a ClientHello is taken for a whole one", () => {
  const hello = buildClientHello({ version: WIRE_VERSIONS["1.2"], suites: USUAL_SUITES, random });
  for (let length = 0; length < hello.length - 1; length++) {
    expect(parseClientHello(hello.subarray(0, length)), `${length} bytes`).toBeUndefined();
  }
});

test("what OpenSSL offers is read as it was asked to offer it", async () => {
  const first = Promise.withResolvers<Buffer>();
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", (bytes: Buffer) => {
      first.resolve(bytes);
      socket.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const socket = connect({
    host: "127.0.0.1",
    port,
    minVersion: "TLSv1.2",
    ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256",
  });
  socket.on("error", () => undefined);
  const offered = parseClientHello(await first.promise);
  server.close();
  expect(offered?.suites).toEqual(expect.arrayContaining([0x1301, 0xc02b]));
  expect(offered).toMatchObject({ versions: [0x0304, 0x0303], highest: WIRE_VERSIONS["1.3"] });
  expect(offered === undefined ? 0 : lowestOffered(offered)).toBe(WIRE_VERSIONS["1.2"]);
});

test("a server's refusal is read as an alert", async () => {
  const server = createTlsServer({ minVersion: "TLSv1.3" });
  server.on("tlsClientError", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const bytes = buildClientHello({ version: WIRE_VERSIONS["1.2"], suites: USUAL_SUITES, random });
  const isEnough = (received: Buffer) => readServerReply(received) !== undefined;
  const { received } = await probeRaw({ host: "127.0.0.1", port, bytes, limitMs: 5000, isEnough }, life);
  server.close();
  expect(readServerReply(received)).toEqual({ kind: "alert", description: 70 });
  expect(alertName(70)).toBe("alert 70 (protocol version)");
});

test("a ServerHello says what was agreed, and other bytes are nothing of TLS", () => {
  const body = Buffer.concat([Buffer.from([3, 3]), random, Buffer.from([2, 1, 1, 0xc0, 0x2b, 0])]);
  const record = Buffer.concat([Buffer.from([22, 3, 3, 0, body.length + 4, 2, 0, 0, body.length]), body]);
  expect(readServerReply(record)).toEqual({ kind: "hello", version: WIRE_VERSIONS["1.2"], suite: 0xc02b });
  expect(readServerReply(record.subarray(0, 40))).toBeUndefined();
  expect(readServerReply(Buffer.from("HTTP/1.1 400 Bad Request"))).toEqual({ kind: "other" });
  expect(versionName(WIRE_VERSIONS["1.2"])).toBe("TLS 1.2");
});
