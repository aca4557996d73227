import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import type { TunnelFacts } from "../../contract/tunnel-status.ts";
import { createSecretBox, SECRET_KEY_BYTES } from "../auth/secret-box.ts";
import { call, openEvents, sendReport } from "../box-client.fake.ts";
import { addBox, addOperators, memoryStore, OPERATOR, startLiveHub } from "../live-hub.fake.ts";
import { reportOf } from "../store/store.fake.ts";
import type { Store } from "../store/store.ts";
import { ownerOf, TUNNEL_KIND, type TunnelRecord } from "./tunnel-record.ts";

const FACTS: TunnelFacts = { address: "192.0.2.1", ports: { from: 20_000, to: 20_099 }, engine: "5.68" };
const BODY = { producer: "north", consumer: "south", sources: [{ host: "10.0.0.20", port: 554 }], security: "psk" };
const KEY = /^[0-9a-f]{64}$/;
const SEALED = /^s1\./;
const soon = { timeout: 20_000, interval: 50 };
const isSet = ({ name }: { readonly name: string }) => name === "expected";

async function fleet() {
  const store = memoryStore();
  await addOperators(store);
  const keys = { north: await addBox(store, "north"), south: await addBox(store, "south") };
  const join = async (origin: string) => {
    for (const [id, key] of Object.entries(keys)) {
      await sendReport(origin, key, { ...reportOf(id, "s", 1), tunnels: FACTS });
    }
  };
  /** What a box is told when it comes without a cursor. */
  const heardBy = async (origin: string, box: "north" | "south") => {
    using client = await openEvents(`${origin}/v1/boxes/${box}/events`, { token: keys[box] });
    return secretsIn((await client.until(isSet)).data);
  };
  return { store, join, heardBy };
}

/** Of all shared keys in a set, in the order of their place. */
function secretsIn(value: unknown): readonly string[] {
  return [...JSON.stringify(value).matchAll(/"secret":"([^"]*)"/g)].map(([, secret = ""]) => secret);
}

const placed = async (store: Store, box: string) => secretsIn((await store.expected.get(box)).entries);
const recorded = async (store: Store) => secretsIn((await store.objects.get(TUNNEL_KIND, "t-1"))?.body);
const put = (origin: string) => call(`${origin}/v1/tunnels/t-1`, { method: "PUT", token: OPERATOR, body: BODY });

test("a shared key lies sealed in the store, the same text in every place, and each box is told the key", async () => {
  const { store, join, heardBy } = await fleet();
  await using hub = await startLiveHub({ store });
  await join(hub.origin);
  expect((await put(hub.origin)).status).toBe(200);
  await expect.poll(() => placed(store, "south"), soon).toHaveLength(1);
  const [sealed] = await recorded(store);
  expect(sealed).toMatch(SEALED);
  expect([await placed(store, "north"), await placed(store, "south")]).toEqual([[sealed], [sealed]]);
  const [key] = await heardBy(hub.origin, "north");
  expect(key).toMatch(KEY);
  expect(await heardBy(hub.origin, "south")).toEqual([key]);
});

test("a key that an earlier release left as it is gets sealed in every place, and stays the same key", async () => {
  const { store, join, heardBy } = await fleet();
  const secret = "5f".repeat(32);
  {
    await using first = await startLiveHub({ store });
    await join(first.origin);
    await put(first.origin);
    await expect.poll(() => placed(store, "south"), soon).toHaveLength(1);
  }
  const object = await store.objects.get(TUNNEL_KIND, "t-1");
  const body = { ...(object?.body as TunnelRecord), sharedKeys: [{ generation: 1, secret }] };
  await store.objects.put({ kind: TUNNEL_KIND, id: "t-1", body }, { nowMs: systemClock.wallMs() });
  const unsealed = JSON.stringify((await store.expected.get("north")).entries).replace(/"s1\.[^"]*"/, `"${secret}"`);
  const entries = JSON.parse(unsealed);
  await store.expected.replace("north", { owner: ownerOf("t-1"), entries }, { nowMs: systemClock.wallMs() });
  expect(await placed(store, "north")).toEqual([secret]);

  await using hub = await startLiveHub({ store });
  await expect.poll(async () => (await placed(store, "north"))[0], soon).toMatch(SEALED);
  expect(await recorded(store)).toEqual(await placed(store, "north"));
  expect(await heardBy(hub.origin, "north")).toEqual([secret]);
  expect((await store.audit.list({ action: "tunnel.encrypt" }, { limit: 5 })).items).toHaveLength(1);
});

test("with another key boxes are told the mask, the log says of which key, and new keys come by rotation", async () => {
  const { store, join, heardBy } = await fleet();
  const secrets = createSecretBox(randomBytes(SECRET_KEY_BYTES));
  {
    await using first = await startLiveHub({ store, secrets });
    await join(first.origin);
    await put(first.origin);
    await expect.poll(() => placed(store, "south"), soon).toHaveLength(1);
  }
  {
    await using hub = await startLiveHub({ store });
    expect(await heardBy(hub.origin, "north")).toEqual(["***"]);
    expect(hub.log.lines.join("\n")).toContain("The shared key t-1.1 of a tunnel cannot be read");
    const rotate = await call(`${hub.origin}/v1/tunnels/t-1/rotate`, { method: "POST", token: OPERATOR });
    expect(rotate.status).toBe(200);
    await expect.poll(() => placed(store, "north"), soon).toHaveLength(2);
    expect(await heardBy(hub.origin, "north")).toEqual(["***", expect.stringMatching(KEY)]);
  }
  await using again = await startLiveHub({ store, secrets });
  expect((await heardBy(again.origin, "north"))[0]).toMatch(KEY);
});

test("hubs that share a store make no shared key without a key of their own that they share", async () => {
  const { store, join } = await fleet();
  await using hub = await startLiveHub({ store, secrets: null });
  await join(hub.origin);
  expect(await put(hub.origin)).toMatchObject({
    status: 409,
    body: { error: { code: "unsupported", field: "security" } },
  });
  const cert = await call(`${hub.origin}/v1/tunnels/t-1`, {
    method: "PUT",
    token: OPERATOR,
    body: { ...BODY, security: "cert" },
  });
  expect(cert.status).toBe(200);
});
