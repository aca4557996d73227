import { expect, test } from "vitest";
import { createFakeClock } from "../../src/base/clock.fake.ts";
import { systemClock } from "../../src/base/clock.ts";
import { createTestServer, type TestServer } from "../server.ts";
import { openRawConnection } from "../sse/raw-connection.ts";
import { FAULTS } from "./fault-catalog.ts";

const start = () => createTestServer({ port: 0, rtmpPort: undefined, beatMs: 50 });
const put = (server: TestServer, id: string) =>
  server.putStreams({
    kind: "stream",
    id,
    spec: { input: { url: "test://bars" }, outputs: [{ url: "rtmp://h/l/k" }] },
  });

async function connected(server: TestServer) {
  const client = openRawConnection(server.eventsUrl);
  await client.until(/event: expected[\s\S]*: beat/);
  return client;
}

test.each(["cut", "end"])("drop (%s) ends every connection, and the next one is served", async (how) => {
  await using server = await start();
  await using first = await connected(server);
  await using second = await connected(server);
  expect(server.fault("drop", { how })).toMatchObject({ clients: 2 });
  await Promise.all([first.ended, second.ended]);
  await using _third = await connected(server);
});

test("drop (reset) ends with a TCP reset", async () => {
  await using server = await start();
  await using client = await connected(server);
  server.fault("drop", { how: "reset" });
  expect(await client.ended).toBe("reset");
});

test("freeze is refused where there is no receiver to freeze", async () => {
  await using server = await createTestServer({ port: 0, rtmpPort: undefined });
  expect(() => server.fault("freeze")).toThrow("started without RTMP");
  expect(server.board.active()).toEqual([]);
});

test("refuse answers new connections with the status until its time is over", async () => {
  const clock = createFakeClock();
  await using server = await createTestServer({ port: 0, rtmpPort: undefined }, { clock });
  server.fault("refuse", { status: 429, retryAfter: 3, seconds: 10 });
  await clock.advance(9_999);
  const refused = await fetch(server.eventsUrl);
  expect(refused.status).toBe(429);
  expect(refused.headers.get("retry-after")).toBe("3");
  await refused.body?.cancel();
  await clock.advance(1);
  expect(server.board.active()).toEqual([]);
  await using after = openRawConnection(server.eventsUrl);
  await after.until("event: expected");
});

test("a refusal can leave those who are connected alone", async () => {
  await using server = await start();
  await using client = await connected(server);
  server.fault("refuse", { drop: false });
  put(server, "a");
  await client.until("event: change");
});

test("204 carries no body", async () => {
  await using server = await start();
  server.fault("refuse", { status: 204 });
  const response = await fetch(server.eventsUrl);
  expect([response.status, await response.text()]).toEqual([204, ""]);
});

test("silent keeps connections open and never writes to them again, even after it ended", async () => {
  await using server = await start();
  await using old = await connected(server);
  server.fault("silent", { seconds: 0 });
  const heard = old.text().length;
  await using young = openRawConnection(server.eventsUrl);
  await young.until("200 OK");
  server.board.clear();
  put(server, "a");
  await systemClock.delay(300);
  expect(old.text().length).toBe(heard);
  expect(young.text()).not.toContain("beat");
  expect([old.isOpen(), young.isOpen()]).toEqual([true, true]);
  expect(server.room.views().map(({ silent }) => silent)).toEqual([true, true]);
  await using _served = await connected(server);
});

test("silent without headers does not even answer", async () => {
  await using server = await start();
  server.fault("silent", { headers: false });
  await using client = openRawConnection(server.eventsUrl);
  await systemClock.delay(300);
  expect([client.text(), client.isOpen()]).toEqual(["", true]);
});

test("html is a captive portal: status 200 and a page", async () => {
  await using server = await start();
  server.fault("html");
  const response = await fetch(server.eventsUrl);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toContain("text/html");
  expect(await response.text()).toContain("<!doctype html>");
});

test("redirect leads to another origin, which says whether the authorization came along", async () => {
  await using server = await start();
  server.fault("redirect", { status: 302 });
  const response = await fetch(server.eventsUrl, { redirect: "manual", headers: { authorization: "Bearer x" } });
  const location = response.headers.get("location") ?? "";
  expect(response.status).toBe(302);
  expect(new URL(location).origin).toBe(`http://localhost:${server.port}`);
  await (await fetch(location, { headers: { authorization: "Bearer x" } })).text();
  expect(server.log.lines().at(-1)?.text).toContain("WITH its authorization");
  server.fault("redirect", { to: "http://elsewhere.example/" });
  const other = await fetch(server.eventsUrl, { redirect: "manual" });
  expect(other.headers.get("location")).toBe("http://elsewhere.example/");
});

test("split sends the next events one byte at a time, and the one after them whole", async () => {
  await using server = await start();
  await using client = await connected(server);
  server.fault("split", { events: 1 });
  const from = client.text().length;
  put(server, "a");
  const text = await client.until(/1\r\n\n\r\n1\r\n\n\r\n/, { from });
  // As HTTP chunks of one byte each: their sizes and line ends stand around every one.
  const sent = [...text.matchAll(/1\r\n([\s\S])\r\n/g)].map(([, byte]) => byte).join("");
  expect(sent).toMatch(/^event: change\nid: \w+\.1\ndata: \{.*\}\n\n$/);
  put(server, "b");
  await client.until(/event: change\nid: \w+\.2\n/, { from });
});

test("delay holds events back and keeps their order, while beats go on", async () => {
  await using server = await start();
  await using client = await connected(server);
  server.fault("delay", { ms: 300 });
  const from = client.text().length;
  const beganMs = systemClock.monotonicMs();
  put(server, "a");
  put(server, "b");
  await client.until(/"revision":1[\s\S]*"revision":2/, { from });
  expect(systemClock.monotonicMs() - beganMs).toBeGreaterThan(550);
});

test("close-after-event ends the connection after the event, which arrives whole", async () => {
  await using server = await start();
  await using client = await connected(server);
  server.fault("close-after-event");
  put(server, "a");
  await client.until(/event: change\nid: \w+\.1\ndata: \{.*\}\n\n/);
  expect(await client.ended).toBe("end");
});

test("no-beats stops the comments and nothing else", async () => {
  await using server = await start();
  await using client = await connected(server);
  server.fault("no-beats");
  const from = client.text().length;
  await systemClock.delay(300);
  put(server, "a");
  expect(await client.until("event: change", { from })).not.toContain("beat");
});

test("garbage, then the stream goes on", async () => {
  await using server = await start();
  await using client = await connected(server);
  const from = client.bytes().length;
  server.fault("garbage", { bytes: 2000 });
  put(server, "a");
  await client.until("event: change", { from });
  const noise = client.bytes().subarray(from);
  expect(noise.length).toBeGreaterThan(2000);
  expect(new Set(noise).size).toBeGreaterThan(200);
});

test("huge is one event of the asked size", async () => {
  await using server = await start();
  await using client = await connected(server);
  const from = client.bytes().length;
  server.fault("huge", { megabytes: 10 });
  await client.until('/live/huge"}\n\n', { from, timeoutMs: 20_000 });
  expect(client.bytes().length - from).toBeGreaterThanOrEqual(10_000_000);
});

test.each([
  ["wrong-type", {}, 'data: {"eventType":"start","input":5,"output":{}}\n\n'],
  ["invalid-json", {}, 'data: {"eventType":"start",\n\n'],
  ["deep", { depth: 5 }, "data: [[[[[]]]]]\n\n"],
  ["retry", { value: "0", drop: false }, "retry: 0\n\n"],
] as const)("%s puts its bytes on the wire", async (name, args, bytes) => {
  await using server = await start();
  await using client = await connected(server);
  server.fault(name, args);
  await client.until(bytes);
  expect(client.isOpen()).toBe(true);
});

test("retry arrives before the connection ends", async () => {
  await using server = await start();
  await using client = await connected(server);
  server.fault("retry");
  expect(await client.ended).toBe("end");
  expect(client.text()).toContain("retry: 0\n\n");
});

test("lose-state cuts everybody, who then finds another epoch with an empty set", async () => {
  await using server = await start();
  put(server, "a");
  const { epoch } = server.set.snapshot();
  await using client = await connected(server);
  server.fault("lose-state");
  await client.ended;
  expect(client.text()).not.toContain('"workloads":[]');
  await using next = openRawConnection(server.eventsUrl, { "Last-Event-ID": `${epoch}.1` });
  expect(await next.until('"workloads":[]}')).not.toContain(epoch);
});

test("refuse-reports turns reports away while events go on", async () => {
  await using server = await start();
  server.fault("refuse-reports", { status: 502 });
  const response = await fetch(server.reportUrl, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  expect(response.status).toBe(502);
  await response.body?.cancel();
  await using _client = await connected(server);
});

test("faults are asked for, listed and cleared over HTTP", async () => {
  await using server = await start();
  const call = async (path: string, method: string, body?: unknown) => {
    const response = await fetch(`${server.origin}${path}`, {
      method,
      ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json() };
  };
  expect(await call("/faults/no-beats", "POST")).toMatchObject({
    status: 200,
    body: { fault: "no-beats", clients: 0 },
  });
  await call("/faults/html", "POST", { seconds: 60 });
  expect(await call("/faults", "GET")).toMatchObject({
    body: {
      available: FAULTS.map(({ name }) => ({ name })),
      active: [{ name: "no-beats" }, { name: "html", secondsLeft: expect.any(Number) }],
    },
  });
  expect(await call("/faults/html", "DELETE")).toMatchObject({ body: { active: [{ name: "no-beats" }] } });
  expect(await call("/faults", "DELETE")).toMatchObject({ body: { active: [] } });
  expect(await call("/faults/earthquake", "POST")).toMatchObject({ status: 404, body: { error: { field: "fault" } } });
  expect(await call("/faults/html", "POST", { seconds: "long" })).toMatchObject({
    status: 400,
    body: { error: { field: "seconds" } },
  });
});
