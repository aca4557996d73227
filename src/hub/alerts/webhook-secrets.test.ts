import { createHmac, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { HubOptions } from "../../config/hub-options.ts";
import { createSecretBox } from "../auth/secret-box.ts";
import { call, sendReport } from "../box-client.fake.ts";
import { startTestHub } from "../hub-world.fake.ts";
import { addBox, addOperators, memoryStore, OPERATOR, startLiveHub, VIEWER } from "../live-hub.fake.ts";
import { reportOf } from "../store/store.fake.ts";

const SECRET = "a-secret-of-the-webhook";
const TOKEN_IN_PATH = "a-token-in-its-address";
let directory = "";
let servers: Server[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-secrets-"));
});
afterEach(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  servers = [];
  rmSync(directory, { recursive: true, force: true });
});

async function startReceiver(status = 204, location?: string) {
  const received: { readonly headers: IncomingHttpHeaders; readonly text: string }[] = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const piece of request) text += String(piece);
    received.push({ headers: request.headers, text });
    response.writeHead(status, location === undefined ? {} : { location }).end();
  }).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  const address = server.address();
  return { received, url: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}/hook` };
}

const disks = [{ path: "/", totalBytes: 100, usedBytes: 95 }];
const full = { ...reportOf("b", "s", 1), node: { disks } };
const rule = (url: string, secret?: string) => ({
  condition: "disk-full",
  forSeconds: 0,
  webhook: { url, ...(secret === undefined ? {} : { secret }) },
});
const soon = { timeout: 20_000, interval: 50 };

function isSigned(message: { readonly headers: IncomingHttpHeaders; readonly text: string } | undefined): boolean {
  const timestamp = String(message?.headers["x-sluice-timestamp"]);
  const signature = createHmac("sha256", SECRET).update(`${timestamp}.${message?.text}`).digest("hex");
  return message?.headers["x-sluice-signature"] === `sha256=${signature}`;
}

test("a secret and an address that an earlier release left as they are get encrypted at the start, and it is signed as before", async () => {
  const { received, url } = await startReceiver();
  const store = memoryStore();
  await addOperators(store);
  const key = await addBox(store, "b");
  await store.objects.put({ kind: "alert-rule", id: "disk", body: rule(url, SECRET) }, { nowMs: 0 });
  await using hub = await startLiveHub({ store });
  const stored = async () => JSON.stringify((await store.objects.get("alert-rule", "disk"))?.body);
  await expect.poll(stored, soon).not.toContain(SECRET);
  expect(await stored()).toContain('"sealedSecret":"s1.');
  expect(await stored()).not.toContain("/hook");
  expect((await store.audit.list({ action: "alert-rule.encrypt" }, { limit: 5 })).items).toHaveLength(1);
  await sendReport(hub.origin, key, full);
  await expect.poll(() => received.length, soon).toBe(1);
  expect(isSigned(received[0])).toBe(true);
});

test("with another key nothing is sent unsigned, and the messages go out once the key is there again", async () => {
  const { received, url } = await startReceiver();
  const store = memoryStore();
  await addOperators(store);
  const key = await addBox(store, "b");
  const secrets = createSecretBox(randomBytes(32));
  const put = (origin: string, body: object) =>
    call(`${origin}/v1/alert-rules/disk`, { method: "PUT", token: OPERATOR, body });
  {
    await using hub = await startLiveHub({ store, secrets });
    expect((await put(hub.origin, rule(url, SECRET))).status).toBe(200);
  }
  {
    await using hub = await startLiveHub({ store });
    await expect.poll(() => hub.log.lines.join(), soon).toContain("1 webhooks were encrypted with another key");
    await sendReport(hub.origin, key, full);
    const waiting = async () => JSON.stringify((await call(`${hub.origin}/v1/deliveries`, { token: VIEWER })).body);
    await expect.poll(waiting, soon).toContain("give it that key (secrets.keyFile), or set the secret again");
    // What has nothing to do with the secret can be changed, and does not lose it.
    expect((await put(hub.origin, { ...rule(url), clearAfterSeconds: 5 })).body).toMatchObject({
      webhook: { signed: true },
    });
    expect(received).toEqual([]);
  }
  await using hub = await startLiveHub({ store, secrets });
  // Its address was set while the hub had the other key.
  await expect.poll(() => hub.log.lines.join(), soon).toContain("1 webhooks were encrypted with another key");
  expect((await put(hub.origin, rule(url))).body).toMatchObject({ webhook: { signed: true } });
  await expect.poll(() => received.length, soon).toBe(1);
  expect(isSigned(received[0])).toBe(true);
});

test("the same secret again is no change, and another one is", async () => {
  const store = memoryStore();
  await addOperators(store);
  await using hub = await startLiveHub({ store });
  const put = (query: string, secret: string) =>
    call(`${hub.origin}/v1/alert-rules/disk${query}`, {
      method: "PUT",
      token: OPERATOR,
      body: rule("https://hook.example/x", secret),
    });
  await put("", SECRET);
  expect((await put("?dryRun=true", SECRET)).body).toMatchObject({ changed: false });
  expect((await put("?dryRun=true", `${SECRET}-other`)).body).toMatchObject({ changed: true });
});

test("a redirect is not followed, and the delivery says so", async () => {
  const inner = await startReceiver();
  const outer = await startReceiver(302, inner.url);
  const store = memoryStore();
  await addOperators(store);
  const key = await addBox(store, "b");
  await using hub = await startLiveHub({ store });
  await call(`${hub.origin}/v1/alert-rules/disk`, { method: "PUT", token: OPERATOR, body: rule(outer.url) });
  await sendReport(hub.origin, key, full);
  const told = async () => JSON.stringify((await call(`${hub.origin}/v1/deliveries`, { token: VIEWER })).body);
  await expect.poll(told, soon).toContain("answered 302: redirects are not followed");
  expect(inner.received).toEqual([]);
});

test("an address in a private range is refused when the rule is made, and when it was there before", async () => {
  const { received, url } = await startReceiver();
  const store = memoryStore();
  await addOperators(store);
  const key = await addBox(store, "b");
  await store.objects.put({ kind: "alert-rule", id: "disk", body: rule(url) }, { nowMs: 0 });
  await using hub = await startLiveHub({ store, options: { webhookNetworks: ["10.20.0.0/16"] } });
  const put = (to: string) =>
    call(`${hub.origin}/v1/alert-rules/new`, { method: "PUT", token: OPERATOR, body: rule(to) });
  for (const to of [url, "http://localhost:9/", "http://169.254.169.254/x", "http://[::1]/", "http://10.21.0.1/"]) {
    expect(await put(to)).toMatchObject({ status: 400, body: { error: { field: "webhook.url" } } });
  }
  expect((await put("http://10.20.0.1/")).status).toBe(200);
  await sendReport(hub.origin, key, full);
  const told = async () => JSON.stringify((await call(`${hub.origin}/v1/deliveries`, { token: VIEWER })).body);
  await expect.poll(told, soon).toContain("127.0.0.1 leads to 127.0.0.1, in a private");
  expect(received).toEqual([]);
});

test("the store's file holds no secret, and the key beside it is for its owner only", async () => {
  const options: Partial<HubOptions> = {
    store: { kind: "sqlite", path: join(directory, "hub.db") },
    files: { dataDir: directory },
  };
  const hub = await startTestHub(options);
  const body = rule(`https://hook.example/x/${TOKEN_IN_PATH}`, SECRET);
  expect((await hub.ask("PUT", "/v1/alert-rules/disk", { body })).status).toBe(200);
  const files = () => readdirSync(directory).filter((name) => name.startsWith("hub.db"));
  for (const name of files()) {
    const bytes = readFileSync(join(directory, name));
    for (const secret of [SECRET, TOKEN_IN_PATH]) expect(bytes.includes(secret), secret).toBe(false);
  }
  const key = join(directory, "secrets.key");
  const before = readFileSync(key, "utf8");
  expect([before.length, statSync(key).mode & 0o777]).toEqual([65, 0o600]);
  await hub.close();
  const again = await startTestHub({ ...options, admin: hub.tokens.admin });
  expect(readFileSync(key, "utf8")).toBe(before);
  expect(again.log.lines.join()).not.toContain("another key");
  await again.close();
  writeFileSync(key, "not a key");
  await expect(startTestHub(options)).rejects.toThrow(/secrets\.key holds no key; allowed: 64 hexadecimal digits/);
});

test("hubs that share a store take no secret without a key of their own that they share", async () => {
  const store = memoryStore();
  await addOperators(store);
  await using hub = await startLiveHub({ store, secrets: null });
  const put = (secret?: string) =>
    call(`${hub.origin}/v1/alert-rules/disk`, {
      method: "PUT",
      token: OPERATOR,
      body: rule("https://hook.example/x", secret),
    });
  expect(await put(SECRET)).toMatchObject({
    status: 409,
    body: { error: { code: "unsupported", field: "webhook.secret" } },
  });
  expect((await put()).status).toBe(200);
});
