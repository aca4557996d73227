import { once } from "node:events";
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { call, type EventClient, openEvents } from "../box-client.fake.ts";
import { addBox, addOperators, type LiveHub, startLiveHub, VIEWER } from "../live-hub.fake.ts";

let hub: LiveHub;
let key: string;
let box: EventClient;
const uploads: ClientRequest[] = [];

beforeEach(async () => {
  hub = await startLiveHub();
  await addOperators(hub.store);
  key = await addBox(hub.store, "b");
  box = await openEvents(`${hub.origin}/v1/boxes/b/events`, { token: key });
  await box.until(() => true);
});

afterEach(async () => {
  for (const upload of uploads.splice(0)) upload.destroy();
  box.close();
  await hub.close();
});

const read = (query = "") => openEvents(`${hub.origin}/v1/boxes/b/logs${query}`, { token: VIEWER });

async function askedFor(from = 0): Promise<{ stream: string; url: string; [name: string]: unknown }> {
  const { data } = await box.until(({ name }) => name === "command", { from });
  return (data as { args: { stream: string; url: string } }).args;
}

function upload(
  url: string,
  token = key,
): { request: ClientRequest; answered: Promise<IncomingMessage>; gone: Promise<void> } {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/x-ndjson" };
  const request = httpRequest(url, { method: "POST", headers, agent: false });
  uploads.push(request);
  const { promise: gone, resolve } = Promise.withResolvers<void>();
  request.on("error", () => resolve());
  request.on("close", () => resolve());
  const answered = new Promise<IncomingMessage>((done) => request.on("response", done));
  request.flushHeaders();
  return { request, answered, gone };
}

const line = (text: string) => `${JSON.stringify({ type: "line", source: "cam", text })}\n`;
const isEnd = ({ name }: { readonly name: string }) => name === "end";

test("A12: a reader gets the box's lines as they come, with gaps and the reason of the end", async () => {
  using reader = await read("?workload=cam&tail=5&follow=true");
  const args = await askedFor();
  expect(args).toMatchObject({ workload: "cam", tail: 5, follow: true });
  expect(args.url).toBe(`${hub.origin}/v1/boxes/b/log-streams/${args.stream}`);
  const { request, answered } = upload(args.url);
  request.write(line("one"));
  request.write(line("zwei € \u0000 \r x").slice(0, 20));
  await reader.until(({ data }) => JSON.stringify(data).includes("one"));
  request.write(line("zwei € \u0000 \r x").slice(20));
  request.write('{"type":"gap","lines":3,"reason":"rotated"}\nnot json\n');
  request.end(`${"y".repeat(70_000)}\n${line("last")}{"type":"end","reason":"the file has ended"}\n`);
  await reader.until(isEnd);
  expect(reader.events.map(({ name, data }) => [name, data])).toEqual([
    ["line", { source: "cam", text: "one" }],
    ["line", { source: "cam", text: "zwei € \u0000 \r x" }],
    ["gap", { lines: 3, reason: "rotated" }],
    ["gap", { lines: 1, bytes: 8, reason: "a record could not be read" }],
    ["gap", { bytes: 70_000, reason: "a record was too long" }],
    ["line", { source: "cam", text: "last" }],
    ["end", { reason: "the file has ended" }],
  ]);
  expect((await answered).statusCode).toBe(204);
  await reader.closed;
});

test("A13: a reader that goes away ends the upload within five seconds, and a new upload to it is refused", async () => {
  const reader = await read();
  const { url } = await askedFor();
  const { request, gone } = upload(url);
  request.write(line("one"));
  await reader.until(({ name }) => name === "line");
  const startedMs = systemClock.monotonicMs();
  reader.close();
  await gone;
  expect(systemClock.monotonicMs() - startedMs).toBeLessThan(5000);
  expect((await upload(url).answered).statusCode).toBe(404);
});

test("A13: a reader that stops reading makes the box wait, and the hub holds little", async () => {
  const reader = await read();
  const { url } = await askedFor();
  const { request } = upload(url);
  request.write(line("one"));
  await reader.until(({ name }) => name === "line");
  reader.pause();
  const before = process.memoryUsage.rss();
  const flood = line("x".repeat(1000)).repeat(1000);
  let sent = 0;
  for (let at = 0; at < 60; at++) {
    sent += flood.length;
    if (!request.write(flood)) {
      const drained = once(request, "drain").then(() => true);
      if (!(await Promise.race([drained, systemClock.delay(1500).then(() => false)]))) break;
    }
  }
  expect(sent).toBeLessThan(40_000_000);
  expect(process.memoryUsage.rss() - before).toBeLessThan(150_000_000);
  reader.resume();
  const seen = reader.events.length;
  await expect.poll(() => reader.events.length).toBeGreaterThan(seen);
});

test("A10: revoking a box cuts its event stream and its upload within five seconds, and the reader hears the end", async () => {
  using reader = await read();
  const { url } = await askedFor();
  const { request, gone } = upload(url);
  request.write(line("one"));
  await reader.until(({ name }) => name === "line");
  const late = systemClock.delay(5000).then(() => "late");
  await hub.store.boxes.update("b", { state: "revoked" }, { nowMs: systemClock.wallMs() });
  const cut = Promise.all([box.closed, gone, reader.until(isEnd)]).then(() => "cut");
  expect(await Promise.race([cut, late])).toBe("cut");
  expect((await upload(url).answered).statusCode).toBe(401);
});

test("only the box itself can upload, once, and only to a stream that is read", async () => {
  using reader = await read();
  const { url, stream } = await askedFor();
  const other = await addBox(hub.store, "other");
  expect((await upload(url, other).answered).statusCode).toBe(403);
  expect((await upload(`${hub.origin}/v1/boxes/other/log-streams/${stream}`, other).answered).statusCode).toBe(404);
  const { request } = upload(url);
  request.write(line("one"));
  await reader.until(({ name }) => name === "line");
  expect((await upload(url).answered).statusCode).toBe(409);
  expect((await call(`${hub.origin}/v1/boxes/b/logs`, { token: key })).status).toBe(403);
});

test("a box that is not there is said at once, one that refuses ends the stream with its reason", async () => {
  await addBox(hub.store, "away");
  const answer = await call(`${hub.origin}/v1/boxes/away/logs`, { token: VIEWER });
  expect(answer).toMatchObject({ status: 503, body: { error: { code: "unavailable" } } });
  using reader = await read("?workload=ghost");
  const { stream } = await askedFor();
  await hub.store.commands.complete("b", stream, { ok: false, text: "no workload ghost", nowMs: systemClock.wallMs() });
  expect(await reader.until(isEnd)).toMatchObject({ data: { reason: "no workload ghost" } });
});

test("an upload that breaks off is a gap and an end", async () => {
  using reader = await read();
  const { url } = await askedFor();
  const { request } = upload(url);
  request.write(line("one"));
  await reader.until(({ name }) => name === "line");
  request.destroy();
  await reader.until(isEnd);
  expect(reader.events.map(({ name }) => name)).toEqual(["line", "gap", "end"]);
});
