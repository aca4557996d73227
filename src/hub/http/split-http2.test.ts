import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import { type AddressInfo, connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { HTTP2_PROTOCOLS, splitHttp2 } from "./split-http2.ts";

const directory = mkdtempSync(join(tmpdir(), "sluice-alpn-"));
const routed: unknown[] = [];
let server: ReturnType<typeof createServer>;

beforeAll(async () => {
  const path = (name: string) => join(directory, name);
  const self = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"];
  execFileSync("openssl", [...self, "-subj", "/CN=hub", "-keyout", path("key"), "-out", path("cert")], {
    stdio: "ignore",
  });
  server = createServer(
    { key: readFileSync(path("key")), cert: readFileSync(path("cert")), ALPNProtocols: HTTP2_PROTOCOLS },
    (_, response) => response.end("page"),
  );
  const serve = (socket: { destroy(): void }, { isLaneOnly = false } = {}) => {
    routed.push({ isLaneOnly });
    socket.destroy();
  };
  splitHttp2(server, { serve, firstBytesMs: 1000 }, { clock: systemClock });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterAll(() => {
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

test.each([
  ["a browser, which offers both, gets pages", ["h2", "http/1.1"], "http/1.1", 0],
  ["a program that offers nothing gets the API", undefined, false, 0],
  ["a gRPC client, which offers HTTP/2 alone, gets the router", ["h2"], "h2", 1],
])("%s", async (_, ALPNProtocols, protocol, toRouter) => {
  routed.length = 0;
  const { port } = server.address() as AddressInfo;
  const socket = connect({
    port,
    host: "127.0.0.1",
    rejectUnauthorized: false,
    ...(ALPNProtocols === undefined ? {} : { ALPNProtocols }),
  });
  socket.on("error", () => undefined);
  await once(socket, "secureConnect");
  expect(socket.alpnProtocol).toBe(protocol);
  if (toRouter === 0) {
    socket.write("GET / HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n");
    const [answer] = await once(socket, "data");
    expect(String(answer)).toContain("200 OK");
  }
  await once(socket, "close");
  expect(routed).toEqual(toRouter === 0 ? [] : [{ isLaneOnly: false }]);
});

test.each([
  ["a lane", "PRI * SLUICE-LANE/1\r\n\r\n"],
  ["a request", "GET / HTTP/1.1\r\nhost: hub\r\n\r\n"],
])("%s in clear on the port with TLS gets the router, which takes nothing but lanes there", async (_, first) => {
  routed.length = 0;
  const { port } = server.address() as AddressInfo;
  const socket = connectPlain({ port, host: "127.0.0.1" });
  socket.on("error", () => undefined);
  socket.end(first);
  await once(socket.resume(), "close");
  expect(routed).toEqual([{ isLaneOnly: true }]);
});
