import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { afterEach, expect, test } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { systemClock } from "../base/clock.ts";
import { createHttpFetch } from "../base/http-fetch.ts";
import { createHubTransport, hubPath } from "./hub-transport.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

const anything = { safeParse: (value: unknown) => ({ success: true, data: value }) as const };
const signal = new AbortController().signal;

async function serve(listener: RequestListener, clock = systemClock) {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    listener(request, response);
  }).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  const address = server.address();
  const hub = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  const transport = createHubTransport(
    { hub, token: "secret-token" },
    { fetch: createHttpFetch(), clock, random: () => 0.01 },
  );
  return { transport, seen };
}

const answer = (status: number, body: unknown) => (): RequestListener => (_request, response) =>
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
const error = (code: string, rest: object = {}) => ({ error: { code, message: `it is ${code}`, ...rest } });

test("a call carries token, condition and body, and parts of a path are encoded", async () => {
  const { transport, seen } = await serve(answer(200, { ok: true })());
  const call = {
    method: "PUT",
    path: hubPath("boxes", "a/b c"),
    query: { dryRun: true, none: undefined },
    body: {},
    ifRevision: 7,
  } as const;
  expect(await transport.ask(call, anything, signal)).toEqual({ ok: true });
  expect(seen[0]).toMatchObject({ method: "PUT", url: "/v1/boxes/a%2Fb%20c?dryRun=true" });
  expect(seen[0]?.headers).toMatchObject({
    authorization: "Bearer secret-token",
    "if-match": '"7"',
    "content-type": "application/json",
    "idempotency-key": expect.stringMatching(/^[0-9a-f-]{36}$/),
  });
});

test("a change that is sent again is the same request to the hub", async () => {
  let count = 0;
  const { transport, seen } = await serve((request, response) => {
    if (++count < 3) request.socket.destroy();
    else response.end("{}");
  });
  await transport.ask({ method: "POST", path: "/v1/x" }, anything, signal);
  const keys = seen.map(({ headers }) => headers["idempotency-key"]);
  expect(keys).toHaveLength(3);
  expect(new Set(keys).size).toBe(1);
});

test.each([
  ["store-unavailable", 503, 3],
  ["rate-limited", 429, 3],
  ["conflict", 409, 1],
  ["invalid", 400, 1],
  ["not-found", 404, 1],
  ["internal", 500, 1],
])("%s is tried as often as that may help: status %d, %d times", async (code, status, times) => {
  const { transport, seen } = await serve(answer(status, error(code, { field: "labels" }))());
  const asking = transport.ask({ path: "/v1/x" }, anything, signal);
  await expect(asking).rejects.toMatchObject({ code, message: `it is ${code}`, field: "labels" });
  expect(seen).toHaveLength(times);
});

test("a long wait that the hub asks for is told, not waited for", async () => {
  const { transport, seen } = await serve(answer(429, error("rate-limited", { retryAfter: 60 }))());
  await expect(transport.ask({ path: "/v1/x" }, anything, signal)).rejects.toMatchObject({ retryAfterMs: 60_000 });
  expect(seen).toHaveLength(1);
});

test("a failed condition says what it is at now", async () => {
  const { transport } = await serve(answer(409, error("conflict", { currentRevision: 9 }))());
  await expect(transport.ask({ path: "/v1/x" }, anything, signal)).rejects.toMatchObject({ currentRevision: 9 });
});

test.each([
  [200, "<html>", "version"],
  [401, "", "unauthorized"],
  [403, "nothing", "refused"],
  [404, "<html>", "not-found"],
  [418, "", "invalid"],
  [302, "", "config"],
])("what is no hub is told by status %d and body %j: %s", async (status, body, code) => {
  const { transport } = await serve((_request, response) =>
    response.writeHead(status, { location: "/login" }).end(body),
  );
  const strict = { safeParse: () => ({ success: false }) as const };
  await expect(transport.ask({ path: "/v1/x" }, strict, signal)).rejects.toMatchObject({ code });
});

test("an interrupted call is interrupted, not retried", async () => {
  const { transport, seen } = await serve(() => undefined);
  const stop = new AbortController();
  const asking = transport.ask({ path: "/v1/x" }, anything, stop.signal);
  await expect.poll(() => seen.length).toBe(1);
  stop.abort();
  await expect(asking).rejects.toMatchObject({ code: "cancelled" });
  expect(seen).toHaveLength(1);
});

test("an event stream gives its messages, and ends quietly when its reader stops", async () => {
  const { transport, seen } = await serve((_request, response) => {
    response
      .writeHead(200, { "content-type": "text/event-stream" })
      .write("id: 4\ndata: one\n\n: beat\n\ndata: two\n\n");
  });
  const stop = new AbortController();
  const data: string[] = [];
  for await (const message of transport.listen({ path: "/v1/events", lastEventId: "3" }, stop.signal)) {
    data.push(`${message.id}:${message.data}`);
    if (data.length === 2) stop.abort();
  }
  expect(data).toEqual(["4:one", "4:two"]);
  expect(seen[0]?.headers).toMatchObject({ accept: "text/event-stream", "last-event-id": "3" });
});

test("a stream that falls silent is dead after three beats", async () => {
  const clock = createFakeClock(0);
  const { transport } = await serve((_request, response) => response.writeHead(200).write("data: one\n\n"), clock);
  const stream = transport.listen({ path: "/v1/events" }, signal);
  expect((await stream.next()).value).toMatchObject({ data: "one" });
  const dead = expect(stream.next()).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringContaining("nothing was heard"),
  });
  await clock.advance(45_000);
  await dead;
});
