import { afterEach, beforeEach, expect, test } from "vitest";
import { newRemoteKey, publicTextOf } from "../../contract/remote/remote-key.ts";
import { createSecretBox } from "../auth/secret-box.ts";
import { openEvents } from "../box-client.fake.ts";
import { addBox, addOperators, type LiveHub, memoryStore, OPERATOR, startLiveHub } from "../live-hub.fake.ts";
import { reportOf } from "../store/store.fake.ts";
import type { Store } from "../store/store.ts";
import { type FakeRouterMaker, fakeRouter } from "./mounted-router.fake.ts";

let store: Store;
let one: LiveHub;
let other: LiveHub;
const routers: Record<"one" | "other", FakeRouterMaker> = { one: fakeRouter(), other: fakeRouter() };
let key = "";

const KEY = publicTextOf(newRemoteKey());
const EXEC = { operation: { kind: "exec", argv: ["uptime"] }, key: KEY };

beforeEach(async () => {
  store = memoryStore();
  await addOperators(store);
  key = await addBox(store, "north-1");
  const secrets = createSecretBox(Buffer.alloc(32, 7));
  const start = (hubId: "one" | "other") =>
    startLiveHub({ store, secrets, hubId, createRouter: routers[hubId].create, options: { manyHubs: true } });
  one = await start("one");
  other = await start("other");
  const body = { ...reportOf("north-1", "s", 1), capabilities: ["command:remote"], remoteKey: KEY };
  await ask(one, "POST", "/v1/boxes/north-1/report", { token: key, body });
});
afterEach(async () => {
  await one.close();
  await other.close();
});

async function ask(hub: LiveHub, method: string, path: string, given: { body?: object; token?: string } = {}) {
  const response = await fetch(`${hub.origin}${path}`, {
    method,
    headers: { authorization: `Bearer ${given.token ?? OPERATOR}`, "content-type": "application/json" },
    ...(given.body === undefined ? {} : { body: JSON.stringify(given.body) }),
  });
  return { status: response.status, body: JSON.parse((await response.text()) || "null") };
}
const nowSeconds = () => Math.floor((performance.timeOrigin + performance.now()) / 1000);

test("a box at one hub is asked into a session of another, whose router takes its ticket", async () => {
  using events = await openEvents(`${other.origin}/v1/boxes/north-1/events`, { token: key });
  const made = (await ask(one, "POST", "/v1/boxes/north-1/remote", { body: EXEC })).body;
  // Both are sent to the hub that has the router, whatever address the operator used.
  expect(made.router).toEqual({ id: "hub-one", url: one.origin });
  const offer = (await events.until(({ name }) => name === "command")).data as {
    args: { ticket: string; router: object };
  };
  expect(offer.args.router).toEqual(made.router);
  expect(routers.one.made().read(offer.args.ticket, nowSeconds()).side).toBe("box");
  // The other hub signs with the same key.
  const again = (await ask(other, "POST", `/v1/remote/${made.id}/rejoin`, { body: { key: KEY } })).body;
  expect(again.router.id).toBe("hub-other");
  const read = () => routers.one.made().read(again.ticket, nowSeconds()).aud;
  expect(read()).toBe("hub-other");
});

test("what one hub ends is ended at the router of another, whether a person, the box or a right ended it", async () => {
  const router = routers.one.made();
  const open = async () => {
    const { id } = (await ask(one, "POST", "/v1/boxes/north-1/remote", { body: EXEC })).body;
    router.opened(id);
    await expect.poll(async () => (await ask(other, "GET", `/v1/remote/${id}`)).body.state).toBe("open");
    return id as string;
  };
  const ended = (id: string) => router.terminated.find((one) => one.id === id)?.message;
  const byPerson = await open();
  await ask(other, "DELETE", `/v1/remote/${byPerson}`);
  await expect.poll(() => ended(byPerson)).toBe("operator has ended it");

  const { id: refused } = (await ask(one, "POST", "/v1/boxes/north-1/remote", { body: EXEC })).body;
  const commandResults = [
    { id: `remote-${refused}-1`, ok: false, text: "not here", finishedAt: "2026-01-15T10:30:45Z" },
  ];
  const report = { ...reportOf("north-1", "s", 2), capabilities: ["command:remote"], remoteKey: KEY, commandResults };
  await ask(other, "POST", "/v1/boxes/north-1/report", { token: key, body: report });
  await expect.poll(() => ended(refused)).toBe("not here");

  const byRight = await open();
  await store.operatorTokens.revoke("operator", { nowMs: nowSeconds() * 1000 });
  await expect.poll(() => ended(byRight), { timeout: 5000 }).toBe("operator's token was revoked or has expired");
});

test("a hub that ends leaves its sessions broken, to be joined again through another", async () => {
  const { id } = (await ask(one, "POST", "/v1/boxes/north-1/remote", { body: EXEC })).body;
  routers.one.made().opened(id);
  await expect.poll(async () => (await ask(other, "GET", `/v1/remote/${id}`)).body.state).toBe("open");
  await one.close();
  const view = async () => (await ask(other, "GET", `/v1/remote/${id}`)).body;
  await expect.poll(async () => (await view()).state, { timeout: 20_000 }).toBe("broken");
  expect((await view()).reason).toBe("its router hub-one is gone");
  expect((await ask(other, "POST", `/v1/remote/${id}/rejoin`, { body: { key: KEY } })).body).toMatchObject({
    attempt: 2,
    router: { id: "hub-other" },
  });
});
