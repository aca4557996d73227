import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, expect, test } from "vitest";
import { createHttpFetch, httpFetch } from "./http-fetch.ts";

let server: Server | undefined;
afterEach(() => {
  server?.close();
  server?.closeAllConnections();
});

async function serve(listener: RequestListener): Promise<URL> {
  server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return new URL(`http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}/`);
}

const ask = (url: URL, signal = new AbortController().signal) =>
  httpFetch(url, { headers: { accept: "text/plain" }, redirect: "manual", signal });
const textOf = async (body: ReadableStream<Uint8Array> | null) => {
  const parts: Uint8Array[] = [];
  for await (const part of body ?? []) parts.push(part);
  return Buffer.concat(parts).toString();
};

test("sends what it was given, and gives the answer as it comes", async () => {
  const url = await serve((request, response) => {
    response.setHeader("X-Seen", `${request.method} ${request.headers.accept}`).writeHead(404).end("no such thing");
  });
  const answer = await ask(url);
  expect([answer.status, answer.ok, answer.headers.get("x-seen"), answer.headers.get("x-other")]).toEqual([
    404,
    false,
    "GET text/plain",
    null,
  ]);
  expect(await textOf(answer.body)).toBe("no such thing");
});

test("carries a body, and follows no redirect", async () => {
  const url = await serve((request, response) => {
    let body = "";
    request.on("data", (piece) => (body += piece));
    request.on("end", () => response.writeHead(302, { location: "/elsewhere", "x-body": body }).end());
  });
  const init = { method: "POST", headers: {}, body: "{}", redirect: "manual" } as const;
  const answer = await httpFetch(url, { ...init, signal: new AbortController().signal });
  expect([answer.status, answer.headers.get("location"), answer.headers.get("x-body")]).toEqual([
    302,
    "/elsewhere",
    "{}",
  ]);
});

test("an encoding that nobody asked for is refused by its name", async () => {
  const url = await serve((_, response) => {
    response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync("data: x\n\n"));
  });
  await expect(ask(url)).rejects.toThrow("encoded as gzip");
});

test("the signal ends a request that nobody answers, with its own reason", async () => {
  const url = await serve(() => undefined);
  const stop = new AbortController();
  const asking = ask(url, stop.signal);
  stop.abort(new Error("enough"));
  await expect(asking).rejects.toThrow("enough");
});

test("the signal ends a body that never ends, and a cancelled body closes the connection", async () => {
  const closed: Promise<unknown>[] = [];
  const url = await serve((request, response) => {
    closed.push(once(request.socket, "close"));
    response.writeHead(200).write("first");
  });
  const stop = new AbortController();
  const endless = await ask(url, stop.signal);
  const reading = textOf(endless.body);
  stop.abort(new Error("enough"));
  await expect(reading).rejects.toThrow();
  await (await ask(url)).body?.cancel();
  await Promise.all(closed);
});

test("a connection that breaks off is an error, not an end", async () => {
  const url = await serve((_, response) => {
    response.writeHead(200, { "content-length": "100" }).write("half", () => response.destroy());
  });
  await expect(textOf((await ask(url)).body)).rejects.toThrow();
});

test("a port where nobody listens is the system's error", async () => {
  await expect(ask(new URL("http://127.0.0.1:9/"))).rejects.toThrow("ECONNREFUSED");
});

test("asks on a unix socket, whatever host the address names", async () => {
  const directory = mkdtempSync(join(tmpdir(), "sluice-fetch-"));
  const socketPath = join(directory, "engine.sock");
  try {
    server = createServer((request, response) => response.end(`${request.headers.host} ${request.url}`)).listen(
      socketPath,
    );
    await once(server, "listening");
    const fetch = createHttpFetch({ socketPath });
    const init = { headers: {}, redirect: "manual", signal: new AbortController().signal } as const;
    const answer = await fetch(new URL("http://engine/v1/version"), init);
    expect(await textOf(answer.body)).toBe("engine /v1/version");
    server.close();
    await once(server, "close");
    await expect(fetch(new URL("http://engine/"), init)).rejects.toMatchObject({ code: "ENOENT" });
  } finally {
    rmSync(directory, { recursive: true });
  }
});
