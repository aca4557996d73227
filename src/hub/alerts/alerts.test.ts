import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Report } from "../../contract/report.ts";
import { call, sendReport } from "../box-client.fake.ts";
import { addBox, addOperators, type LiveHub, memoryStore, OPERATOR, startLiveHub, VIEWER } from "../live-hub.fake.ts";
import { reportOf } from "../store/store.fake.ts";

interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

let hub: LiveHub;
let server: Server;
let url: string;
let received: Received[];
let statuses: number[];

beforeEach(async () => {
  received = [];
  statuses = [];
  server = createServer((request, response) => {
    let text = "";
    request.on("data", (piece) => {
      text += String(piece);
    });
    request.on("end", () => {
      received.push({ headers: request.headers, text });
      response.writeHead(statuses.shift() ?? 204).end();
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}/hook/secret-part`;
  hub = await startLiveHub();
  await addOperators(hub.store);
});

afterEach(async () => {
  await hub.close();
  server.closeAllConnections();
  server.close();
});

const put = (id: string, body: object) =>
  call(`${hub.origin}/v1/alert-rules/${id}`, { method: "PUT", token: OPERATOR, body });
const SECRET = "a-secret-of-the-webhook";
const phases = () => received.map(({ text }) => (JSON.parse(text) as { phase: string }).phase);

function unwell(sequence: number, state: "stalled" | "running"): Report {
  const workload = {
    id: "cam",
    kind: "stream",
    description: "",
    state,
    generation: 1,
    restarts: 0,
    since: "x",
  } as const;
  return { ...reportOf("b", "s", sequence), workloads: [workload] };
}

test("an unwell workload is told to the webhook once, signed, and its end too", async () => {
  const key = await addBox(hub.store, "b");
  await put("unwell", {
    condition: "workload-unwell",
    forSeconds: 0,
    clearAfterSeconds: 0,
    webhook: { url, secret: SECRET },
  });
  await sendReport(hub.origin, key, unwell(1, "stalled"));
  await sendReport(hub.origin, key, unwell(2, "stalled"));
  await expect.poll(() => received.length, { timeout: 15_000 }).toBe(1);
  const [first] = received;
  expect(JSON.parse(first?.text ?? "")).toMatchObject({
    version: 1,
    rule: "unwell",
    phase: "fired",
    subject: "box/b/cam",
    text: "cam on b is stalled",
  });
  const timestamp = String(first?.headers["x-sluice-timestamp"]);
  const expected = createHmac("sha256", SECRET).update(`${timestamp}.${first?.text}`).digest("hex");
  expect(first?.headers["x-sluice-signature"]).toBe(`sha256=${expected}`);
  const alerts = await call(`${hub.origin}/v1/alerts`, { token: VIEWER });
  expect(alerts.body).toMatchObject({ items: [{ rule: "unwell", subject: "box/b/cam", phase: "firing" }] });
  await sendReport(hub.origin, key, unwell(3, "running"));
  await expect.poll(phases, { timeout: 15_000 }).toEqual(["fired", "ended"]);
  expect((await call(`${hub.origin}/v1/alerts`, { token: VIEWER })).body).toEqual({ items: [] });
});

test("a webhook that refuses is told again, with the same id", async () => {
  statuses = [500, 503];
  const key = await addBox(hub.store, "b");
  await put("disk", { condition: "disk-full", threshold: 90, forSeconds: 0, webhook: { url } });
  const disks = [{ path: "/", totalBytes: 100, usedBytes: 95 }];
  await sendReport(hub.origin, key, { ...reportOf("b", "s", 1), node: { disks } });
  await expect.poll(() => received.length, { timeout: 40_000 }).toBe(3);
  expect(new Set(received.map(({ headers }) => headers["x-sluice-delivery"])).size).toBe(1);
  await expect
    .poll(async () => (await call(`${hub.origin}/v1/deliveries`, { token: VIEWER })).body)
    .toMatchObject({ items: [{ rule: "disk", state: "sent", attempt: 3 }] });
});

test("two hubs that see the same tell it once", async () => {
  const store = memoryStore();
  await addOperators(store);
  const one = await startLiveHub({ store, hubId: "one" });
  const two = await startLiveHub({ store, hubId: "two" });
  try {
    const key = await addBox(store, "b");
    const body = { condition: "workload-unwell", forSeconds: 0, clearAfterSeconds: 0, webhook: { url } };
    await call(`${one.origin}/v1/alert-rules/r`, { method: "PUT", token: OPERATOR, body });
    for (let sequence = 1; sequence < 20; sequence++) {
      await sendReport(sequence % 2 === 0 ? one.origin : two.origin, key, unwell(sequence, "stalled"));
    }
    await expect.poll(() => received.length, { timeout: 15_000 }).toBe(1);
    for (let sequence = 20; sequence < 30; sequence++) {
      await sendReport(sequence % 2 === 0 ? one.origin : two.origin, key, unwell(sequence, "running"));
    }
    await expect.poll(phases, { timeout: 20_000 }).toEqual(["fired", "ended"]);
  } finally {
    await one.close();
    await two.close();
  }
});

test.each(["file:///etc/passwd", "ftp://host/x", "javascript:alert(1)", "not an address"])(
  "a webhook at %s is refused",
  async (address) => {
    const answer = await put("bad", { condition: "gap", webhook: { url: address } });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: "invalid" } } });
  },
);

test("no answer shows the secret of a webhook or the path of its address, and a change without one keeps it", async () => {
  await put("r", { condition: "gap", webhook: { url, secret: SECRET } });
  const changed = await put("r", { condition: "gap", forSeconds: 5, webhook: { url } });
  expect(changed.body).toMatchObject({ revision: 2, forSeconds: 5, webhook: { signed: true } });
  const all = await call(`${hub.origin}/v1/alert-rules`, { token: VIEWER });
  expect(JSON.stringify(all.body)).not.toContain(SECRET);
  expect(JSON.stringify(all.body)).not.toContain("secret-part");
});

test("a rule of some boxes leaves the others alone, and its alerts go with it", async () => {
  const key = await addBox(hub.store, "b");
  await put("north", { condition: "workload-unwell", forSeconds: 0, selector: "site=north", webhook: { url } });
  await sendReport(hub.origin, key, unwell(1, "stalled"));
  expect((await call(`${hub.origin}/v1/alerts`, { token: VIEWER })).body).toEqual({ items: [] });
  await hub.store.boxes.update("b", { labels: { site: "north" } }, { nowMs: 0 });
  await sendReport(hub.origin, key, unwell(2, "stalled"));
  await expect.poll(() => received.length, { timeout: 15_000 }).toBe(1);
  await call(`${hub.origin}/v1/alert-rules/north`, { method: "DELETE", token: OPERATOR });
  await expect
    .poll(async () => (await call(`${hub.origin}/v1/alerts`, { token: VIEWER })).body, { timeout: 10_000 })
    .toEqual({ items: [] });
});
