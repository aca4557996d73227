import { createServer } from "node:net";
import { expect, test } from "vitest";
import { refusalOfRequest } from "./http/guard.ts";
import { createTestServer } from "./server.ts";
import { openRawConnection } from "./sse/raw-connection.ts";

const start = (options: Parameters<typeof createTestServer>[0] = {}) =>
  createTestServer({ port: 0, rtmpPort: undefined, ...options });

async function send(url: string, method: string, body?: unknown) {
  const response = await fetch(url, {
    method,
    ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

test("a connection hears the beat and the whole set, with headers that no proxy holds back", async () => {
  await using server = await start();
  await using client = openRawConnection(server.eventsUrl);
  const text = await client.until(/event: expected\nid: \w+\.0\ndata: \{.*\}\n\n/);
  expect(text).toContain("HTTP/1.1 200 OK");
  expect(text.toLowerCase()).toContain("content-type: text/event-stream");
  expect(text.toLowerCase()).toContain("cache-control: no-cache, no-transform");
  expect(text.toLowerCase()).toContain("x-accel-buffering: no");
  expect(text).toContain(": beat 15\n");
});

test("beats come at the configured period", async () => {
  await using server = await start({ beatMs: 50 });
  await using client = openRawConnection(server.eventsUrl);
  await client.until(/(: beat 1\n[\s\S]*){4}/);
});

test("a change reaches everybody as one step with the next revision", async () => {
  await using server = await start();
  await using typed = openRawConnection(`${server.origin}/v1/boxes/north-1/events`);
  await using simple = openRawConnection(`${server.eventsUrl}?form=simple`);
  await Promise.all([typed.until("event: expected"), simple.until('"eventType":"snapshot"')]);
  const stream = { id: "cam-1", input: "rtsp://cam/1", output: "rtmp://host/live/k" };
  expect(await send(`${server.origin}/streams`, "POST", stream)).toMatchObject({ status: 201, body: { clients: 2 } });

  await typed.until(/event: change\nid: \w+\.1\ndata: \{"revision":1,"put":\[\{"kind":"stream","id":"cam-1"/);
  await simple.until('{"eventType":"start","id":"cam-1","input":"rtsp://cam/1","output":"rtmp://host/live/k"}');
  expect(await send(`${server.origin}/streams/cam-1`, "DELETE")).toMatchObject({ status: 200 });
  await typed.until('data: {"revision":2,"put":[],"remove":["cam-1"]}');
  await simple.until('data: {"eventType":"stop","id":"cam-1"}');
  expect(await send(`${server.origin}/streams/cam-1`, "DELETE")).toMatchObject({
    status: 404,
    body: { error: { code: "not-found", field: "id" } },
  });
});

test("a known cursor is continued, and an unknown one starts with a snapshot", async () => {
  await using server = await start();
  for (const id of ["a", "b"])
    await send(`${server.origin}/streams`, "POST", { id, input: "test://bars", output: "rtmp://h/l/k" });
  const { epoch } = server.set.snapshot();
  await using known = openRawConnection(server.eventsUrl, { "Last-Event-ID": `${epoch}.1` });
  expect(await known.until(`id: ${epoch}.2`)).not.toContain("event: expected");
  for (const cursor of [`${epoch}.9`, "other.1", "junk"]) {
    await using unknown = openRawConnection(server.eventsUrl, { "Last-Event-ID": cursor });
    await unknown.until(`event: expected\nid: ${epoch}.2`);
  }
});

test("the form `starts` repeats each start after each connect and has no snapshot", async () => {
  await using server = await start();
  await send(`${server.origin}/streams`, "POST", { id: "a", input: "test://bars", output: "rtmp://h/l/k" });
  await using client = openRawConnection(`${server.eventsUrl}?form=starts`);
  expect(await client.until('{"eventType":"start","id":"a"')).not.toContain("snapshot");
});

test("a whole set replaces what was there and can be confirmed", async () => {
  await using server = await start();
  await using client = openRawConnection(server.eventsUrl);
  await client.until("event: expected");
  const workloads = [{ id: "b", input: "test://bars", outputs: ["rtmp://h/l/b", "srt://h:9"] }];
  const answer = await send(`${server.origin}/streams`, "PUT", { workloads, confirm: true });
  expect(answer.body).toMatchObject({ revision: 1, workloads: [{ id: "b", spec: { outputs: [{}, {}] } }] });
  await client.until(/event: expected\nid: \w+\.1\ndata: .*"confirm":true\}/);
});

test.each([
  [{ id: "-bad", input: "test://bars", output: "rtmp://h/l" }, "id"],
  [{ id: "a", output: "rtmp://h/l" }, "input"],
  [{ id: "a", input: "test://bars", output: "rtmp://h/l", video: "h264" }, "video"],
  [{ id: "a", input: "test://bars" }, "spec.outputs"],
  [{ kind: "stream", id: "a", spec: { input: "x", outputs: [] } }, "spec.outputs"],
  [{ kind: "toaster", id: "a" }, "kind"],
])("the stream %j is refused with the name of its wrong field", async (body, field) => {
  await using server = await start();
  expect(await send(`${server.origin}/streams`, "POST", body)).toMatchObject({
    status: 400,
    body: { error: { code: "invalid", field } },
  });
});

test("an event by hand goes out as it was given and says how many heard it", async () => {
  await using server = await start();
  await using client = openRawConnection(server.eventsUrl);
  await client.until("event: expected");
  const url = `${server.origin}/send-event`;
  expect(await send(url, "POST", { eventType: "start", cameraUrl: "rtsp://c/1", streamKey: "k" })).toEqual({
    status: 200,
    body: { success: true, message: "Event sent to 1 client", clients: 1 },
  });
  await client.until('\ndata: {"eventType":"start","cameraUrl":"rtsp://c/1","streamKey":"k"}\n\n');
  await send(url, "POST", { event: "command", id: "x.1", data: { id: "1", name: "noop" } });
  await client.until('event: command\nid: x.1\ndata: {"id":"1","name":"noop"}\n\n');
  await send(url, "POST", { data: "two\nlines" });
  await client.until("data: two\ndata: lines\n\n");
  await send(url, "POST", { raw: ":odd\rdata" });
  await client.until(":odd\rdata");
  await fetch(url, { method: "POST", body: "data: plain\n\n" });
  await client.until("data: plain\n\n");
  expect(server.set.snapshot().revision).toBe(0);
});

test.each([
  [{ raw: 5 }, "raw"],
  [{ data: "x", event: "a\nb" }, "event"],
  [{ data: "x", id: 7 }, "id"],
])("the event %j is refused with the name of its wrong field", async (body, field) => {
  await using server = await start();
  expect(await send(`${server.origin}/send-event`, "POST", body)).toMatchObject({
    status: 400,
    body: { error: { field } },
  });
});

test("whoever is connected is listed with its cursor, box and bytes, and gone when it left", async () => {
  await using server = await start();
  {
    await using client = openRawConnection(`${server.origin}/v1/boxes/north-1/events`, {
      "Last-Event-ID": "old.3",
      Authorization: "Bearer x",
    });
    await client.until("event: expected");
    const [view] = server.room.views();
    expect(view).toMatchObject({
      box: "north-1",
      lastEventId: "old.3",
      hasAuthorization: true,
      events: 1,
      silent: false,
    });
    expect(view?.bytes).toBeGreaterThan(50);
  }
  await expect.poll(() => server.room.count()).toBe(0);
});

const REPORT = {
  version: 1,
  sequence: 1,
  session: "s",
  sentAt: "2026-01-15T10:30:45Z",
  boxId: "north-1",
  bootId: "b",
  agentVersion: "0.1.0",
  verdict: "first",
  applied: {},
  link: { state: "live", endpoint: "x", since: "x", attempts: 0, connects: 1, events: 1, badEvents: {} },
  workloads: [],
  occurrences: [],
  dropped: 0,
  commandResults: [],
};

test("reports are checked and kept: the latest of each box, and the last 200", async () => {
  await using server = await start();
  for (let sequence = 1; sequence <= 203; sequence++) {
    const box = sequence % 2 === 0 ? "even" : "odd";
    const answer = await send(`${server.origin}/v1/boxes/${box}/report`, "POST", { ...REPORT, boxId: box, sequence });
    expect(answer).toEqual({ status: 200, body: { accepted: sequence } });
  }
  const { body } = await send(`${server.origin}/reports`, "GET");
  expect(body).toMatchObject({ count: 203, latest: [{ report: { sequence: 203 } }, { report: { sequence: 202 } }] });
  expect(body).toHaveProperty("last.length", 200);
});

test("a report that is wrong, or of another box, is refused with its field", async () => {
  await using server = await start();
  expect(await send(`${server.origin}/report`, "POST", { ...REPORT, verdict: "maybe" })).toMatchObject({
    status: 400,
    body: { error: { code: "invalid", field: "verdict" } },
  });
  expect(await send(`${server.origin}/v1/boxes/south/report`, "POST", REPORT)).toMatchObject({
    status: 409,
    body: { error: { code: "conflict", field: "boxId" } },
  });
  expect(server.reports.count()).toBe(0);
});

test("the page hears each part of the state at first, and again when it differs", async () => {
  await using server = await start();
  await using page = openRawConnection(`${server.origin}/page-events`);
  const first = await page.until("event: log");
  for (const name of ["server", "streams", "clients", "reports", "publishers", "faults"]) {
    expect(first).toContain(`event: ${name}\n`);
  }
  const from = page.text().length;
  await send(`${server.origin}/streams`, "POST", { id: "a", input: "test://bars", output: "rtmp://h/l/k" });
  await page.until(/event: line\ndata: .*a is expected now/, { from });
  await page.until(/event: streams\ndata: \[\{"id":"a"/, { from });
});

test("the page may load nothing from elsewhere and nothing inline", async () => {
  await using server = await start();
  const response = await fetch(server.origin);
  expect(response.headers.get("content-security-policy")).toMatch(/default-src 'none'; script-src 'self';/);
  const html = await response.text();
  expect(html).toContain("<h1>");
  expect(html).not.toMatch(/https?:\/\/|style="|onclick=|<script>/);
  const player = await fetch(`${server.origin}/vendor/mpegts.js`);
  expect(player.status).toBe(200);
  await player.body?.cancel();
});

test("an address that others reach is refused unless that was asked for", async () => {
  await expect(start({ host: "0.0.0.0" })).rejects.toMatchObject({ code: "refused", field: "host" });
  await expect(start({ host: "::" })).rejects.toThrow("--listen-anywhere");
  await using server = await start({ host: "0.0.0.0", listenAnywhere: true });
  expect(server.origin).toBe(`http://127.0.0.1:${server.port}`);
});

test("a taken port leads to the next free one, or to an error that names it", async () => {
  await using first = await start();
  await using second = await start({ port: first.port });
  expect(second.port).not.toBe(first.port);
  await expect(start({ port: first.port, strictPorts: true })).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringContaining(`--port: port ${first.port} is taken`),
  });
});

test("a taken RTMP port leads to the next free one, or to an error that names it", async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const address = other.address();
  const taken = typeof address === "object" && address !== null ? address.port : 0;
  try {
    await using server = await start({ rtmpPort: taken });
    expect(server.rtmp?.port).not.toBe(taken);
    await expect(start({ rtmpPort: taken, strictPorts: true })).rejects.toThrow(`--rtmp-port: port ${taken} is taken`);
  } finally {
    other.close();
  }
});

test("a web page of another site is kept out, by name and by origin", async () => {
  const none = { origin: undefined, listenAnywhere: false };
  expect(refusalOfRequest({ ...none, host: "127.0.0.1:3000" })).toBeUndefined();
  expect(refusalOfRequest({ ...none, host: "[::1]:3000", origin: "http://localhost:3000" })).toBeUndefined();
  expect(refusalOfRequest({ ...none, host: "rebound.example:3000" })).toContain("Host");
  expect(refusalOfRequest({ ...none, host: undefined })).toContain("Host");
  expect(refusalOfRequest({ ...none, host: "127.0.0.1", origin: "https://evil.example" })).toContain("Origin");
  expect(refusalOfRequest({ ...none, host: "127.0.0.1", origin: "null" })).toContain("Origin");
  expect(refusalOfRequest({ host: "box.lan", origin: "https://x.example", listenAnywhere: true })).toBeUndefined();
});

test("what is not served is a 404 that says so, and a body that is not JSON a 400", async () => {
  await using server = await start();
  expect(await send(`${server.origin}/nothing`, "GET")).toMatchObject({
    status: 404,
    body: { error: { code: "not-found" } },
  });
  const response = await fetch(`${server.origin}/streams`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{",
  });
  expect(response.status).toBe(400);
});
