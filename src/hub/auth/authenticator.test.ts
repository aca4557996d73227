import { describe, expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import type { Identity } from "../http/access.ts";
import { createMemoryStore } from "../store/memory/memory-store.ts";
import { enrol, NOW } from "../store/store.fake.ts";
import type { Hint, Store } from "../store/store.ts";
import { type Authenticator, createAuthenticator } from "./authenticator.ts";
import { newOperatorToken } from "./first-token.ts";
import { hashSecret, isSameHash } from "./secret-hash.ts";

let ids = 0;
const newId = () => `id-${++ids}`;

async function setUp(): Promise<{
  store: Store;
  authenticator: Authenticator;
  clock: ReturnType<typeof createFakeClock>;
}> {
  const clock = createFakeClock(NOW);
  const store = createMemoryStore({ newId });
  return { store, clock, authenticator: createAuthenticator({ store, clock }) };
}

describe("an operator's token", () => {
  test("tells who sent it; without one nobody did, and any other opens nothing", async () => {
    const { store, authenticator } = await setUp();
    const { record, secret } = newOperatorToken(
      { name: "Ada", role: "operator", nowMs: NOW },
      () => `secret-${newId()}`,
    );
    await store.operatorTokens.create(record, { nowMs: NOW });
    expect(await authenticator.identify(secret)).toEqual({
      kind: "operator",
      tokenId: record.id,
      name: "Ada",
      role: "operator",
    });
    expect(await authenticator.identify(undefined)).toEqual({ kind: "anybody" });
    await expect(authenticator.identify(`${secret}x`)).rejects.toThrow("this token opens nothing");
    await expect(authenticator.identify(record.hash)).rejects.toThrow("this token opens nothing");
  });

  test("opens nothing once it has expired, and what is open with it is cut", async () => {
    const { store, authenticator, clock } = await setUp();
    const { record, secret } = newOperatorToken({ name: "Ada", role: "viewer", nowMs: NOW }, newId);
    await store.operatorTokens.create({ ...record, expiresMs: NOW + 10_000 }, { nowMs: NOW });
    const identity = await authenticator.identify(secret);
    using watch = watchOf(authenticator, secret, identity);
    await clock.advance(9000);
    await authenticator.sweep();
    expect(watch.signal.aborted).toBe(false);
    await clock.advance(2000);
    await authenticator.sweep();
    expect(watch.signal.aborted).toBe(true);
    await expect(authenticator.identify(secret)).rejects.toThrow("has expired");
  });

  test("is cut at once when it is revoked, by the store's hint", async () => {
    const { store, authenticator } = await setUp();
    const { record, secret } = newOperatorToken({ name: "Ada", role: "admin", nowMs: NOW }, newId);
    await store.operatorTokens.create(record, { nowMs: NOW });
    using watch = watchOf(authenticator, secret, await authenticator.identify(secret));
    await store.operatorTokens.revoke(record.id, { nowMs: NOW });
    await aborted(watch.signal);
    await expect(authenticator.identify(secret)).rejects.toThrow("was revoked");
  });

  test("is cut within 5 s when it is revoked and every hint is lost", async () => {
    const { store: whole, clock } = await setUp();
    const store = { ...whole, onHint: () => () => undefined };
    const authenticator = createAuthenticator({ store, clock });
    const { record, secret } = newOperatorToken({ name: "Ada", role: "admin", nowMs: NOW }, newId);
    await store.operatorTokens.create(record, { nowMs: NOW });
    await authenticator.identify(secret);
    await store.operatorTokens.revoke(record.id, { nowMs: NOW });
    await clock.advance(5000);
    await expect(authenticator.identify(secret)).rejects.toThrow("was revoked");
  });
});

describe("a box's key", () => {
  test("opens for its box, and the next key takes its place when it is first used", async () => {
    const { store, authenticator } = await setUp();
    await enrolWith(store, "north-1", "old-key");
    expect(await authenticator.identify("old-key")).toMatchObject({
      kind: "box",
      boxId: "north-1",
      keySlot: "current",
    });
    await store.boxes.stageKey("north-1", hashSecret("new-key"), { nowMs: NOW });
    expect(await authenticator.identify("old-key")).toMatchObject({ boxId: "north-1" });
    expect(await authenticator.identify("new-key")).toMatchObject({ boxId: "north-1", keySlot: "next" });
    await settled();
    await expect(authenticator.identify("old-key")).rejects.toThrow("this token opens nothing");
    expect(await authenticator.identify("new-key")).toMatchObject({ boxId: "north-1" });
  });

  test("that is revoked or forgotten cuts what is open with it, and only that", async () => {
    const { store, authenticator } = await setUp();
    for (const id of ["north-1", "north-2", "north-3"]) await enrolWith(store, id, `key-${id}`);
    const watches = await Promise.all(
      ["north-1", "north-2", "north-3"].map(async (id) =>
        watchOf(authenticator, `key-${id}`, await authenticator.identify(`key-${id}`)),
      ),
    );
    await store.boxes.update("north-1", { state: "revoked" }, { nowMs: NOW });
    await store.boxes.forget("north-2", { nowMs: NOW });
    await store.boxes.update("north-3", { name: "other" }, { nowMs: NOW });
    await settled();
    expect(watches.map(({ signal }) => signal.aborted)).toEqual([true, true, false]);
    await expect(authenticator.identify("key-north-1")).rejects.toThrow("box north-1 was revoked");
  });

  test("is looked up once a minute where the store is this hub's own, and its change counts at once", async () => {
    const { store: whole, clock } = await setUp();
    let looks = 0;
    let meanwhile = async () => {};
    const boxes = {
      ...whole.boxes,
      findByKey: async (hash: string) => {
        looks++;
        const found = await whole.boxes.findByKey(hash);
        await meanwhile();
        return found;
      },
    };
    const authenticator = createAuthenticator({ store: { ...whole, boxes }, clock, isAlone: true });
    await enrolWith(whole, "north-1", "key");
    await settled();
    const looksAfter = async (ms: number) => {
      await clock.advance(ms);
      await authenticator.identify("key");
      return looks;
    };
    expect([await looksAfter(0), await looksAfter(50_000), await looksAfter(20_000)]).toEqual([1, 1, 2]);
    await whole.boxes.update("north-1", { state: "revoked" }, { nowMs: NOW });
    await settled();
    await expect(authenticator.identify("key")).rejects.toThrow("box north-1 was revoked");
    // Revoked between the look and its answer: what the look has seen is believed for a moment only.
    await whole.boxes.update("north-1", { state: "approved" }, { nowMs: NOW });
    await settled();
    meanwhile = async () => {
      await whole.boxes.update("north-1", { state: "revoked" }, { nowMs: NOW });
      await settled();
    };
    await authenticator.identify("key");
    await clock.advance(5000);
    await expect(authenticator.identify("key")).rejects.toThrow("box north-1 was revoked");
  });

  test("keeps its connection while the store cannot tell", async () => {
    const { store: whole, clock } = await setUp();
    const listeners: ((hint: Hint) => void)[] = [];
    let isAway = false;
    const boxes = {
      ...whole.boxes,
      findByKey: (hash: string) => (isAway ? Promise.reject(new Error("away")) : whole.boxes.findByKey(hash)),
    };
    const onHint = (listener: (hint: Hint) => void) => {
      listeners.push(listener);
      return () => undefined;
    };
    const authenticator = createAuthenticator({ store: { ...whole, boxes, onHint }, clock });
    await enrolWith(whole, "north-1", "key");
    using watch = watchOf(authenticator, "key", await authenticator.identify("key"));
    isAway = true;
    for (const listener of listeners) listener({ kind: "all" });
    await settled();
    expect(watch.signal.aborted).toBe(false);
    await expect(authenticator.identify("key")).rejects.toThrow("away");
  });
});

test("hashes are compared whole, and what is no hash equals nothing", () => {
  const hash = hashSecret("x");
  expect(isSameHash(hash, hashSecret("x"))).toBe(true);
  expect(isSameHash(hash, hashSecret("y"))).toBe(false);
  for (const other of ["", hash.slice(0, 62), `${hash}00`, "zz"]) expect(isSameHash(hash, other)).toBe(false);
  expect(isSameHash("", "")).toBe(false);
});

async function enrolWith(store: Store, boxId: string, key: string): Promise<void> {
  await enrol(store, boxId);
  await store.boxes.stageKey(boxId, hashSecret(key), { nowMs: NOW });
  await store.boxes.promoteKey(boxId, hashSecret(key), { nowMs: NOW });
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function aborted(signal: AbortSignal): Promise<void> {
  await settled();
  expect(signal.aborted).toBe(true);
}

function watchOf(
  authenticator: Authenticator,
  token: string,
  identity: Identity,
): Disposable & { readonly signal: AbortSignal } {
  const control = new AbortController();
  const watch = authenticator.watch(token, identity, control);
  return { signal: control.signal, [Symbol.dispose]: () => watch[Symbol.dispose]() };
}
