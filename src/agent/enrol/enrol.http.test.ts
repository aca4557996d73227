import { randomBytes } from "node:crypto";
import { chown, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { replaceFile } from "../../base/atomic-file.ts";
import { systemClock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import { httpFetch } from "../../base/http-fetch.ts";
import { createMemoryLog } from "../../base/log.ts";
import { createRedactor } from "../../base/redact.ts";
import { formatEnrolmentString } from "../../contract/fleet/enrolment-string.ts";
import { openIdentityFile } from "../registry/identity-file.ts";
import { type EnrolDeps, enrolBox, hashOf } from "./enrol-box.ts";
import { enrolHere } from "./enrol-here.ts";
import { type FakeHub, startFakeHub } from "./hub.fake.ts";
import { rotateKey } from "./rotate-key.ts";

const SECRET = "token-of-at-least-16-characters";
const never = new AbortController().signal;
let stateDir: string;
let hub: FakeHub;

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), "sluice-enrol-"));
  hub = await startFakeHub();
  hub.tokens.add(SECRET);
});
afterEach(async () => {
  await hub[Symbol.asyncDispose]();
  await rm(stateDir, { recursive: true, force: true });
});

/** What one agent process has: it reads the disk anew. `killAt`: the effect before which, or after which, it is killed. */
function startProcess(killAt?: {
  readonly effect: number;
  readonly when: "before" | "after";
}): EnrolDeps & { effects: () => number } {
  let effects = 0;
  const effect = async <T>(work: () => Promise<T>): Promise<T> => {
    effects++;
    if (killAt?.effect === effects && killAt.when === "before") throw new AppError("internal", "killed");
    const result = await work();
    if (killAt?.effect === effects) throw new AppError("internal", "killed");
    return result;
  };
  const log = createMemoryLog();
  const file = openIdentityFile(stateDir, {
    clock: systemClock,
    log,
    replace: (...args) => effect(() => replaceFile(...args)),
  });
  return {
    effects: () => effects,
    file,
    fetchTrusting: () => (url, init) => effect(() => httpFetch(url, init)),
    clock: systemClock,
    newKey: () => randomBytes(32).toString("base64url"),
    addSecret: () => undefined,
    stateDir,
  };
}

const wish = (token = SECRET) => ({
  token: formatEnrolmentString({ hub: hub.url, token }),
  boxId: "north-1",
  name: "North gate",
  labels: { site: "north" },
});
const rotateDeps = (deps: EnrolDeps) => ({ ...deps, fetch: deps.fetchTrusting(undefined) });
const where = () => ({ hub: hub.url, boxId: "north-1" });

test("a box makes its key, keeps it to itself, and the hub learns its hash", async () => {
  const deps = startProcess();
  expect(await enrolBox(wish(), deps, never)).toBe("pending");
  const { current, pending } = deps.file.current();
  expect(current).toMatchObject({ hub: hub.url, boxId: "north-1" });
  expect(pending).toBeUndefined();
  expect(hub.boxes.get("north-1")?.key).toBe(hashOf(current?.key ?? ""));
  expect((await stat(join(stateDir, "identity.json"))).mode & 0o777).toBe(0o600);
  const [request] = hub.requests;
  expect(JSON.parse(request?.body ?? "")).toEqual({
    token: SECRET,
    boxId: "north-1",
    keyHash: hashOf(current?.key ?? ""),
    name: "North gate",
    labels: { site: "north" },
  });
  expect(request?.body).not.toContain(current?.key);
  expect(await readdir(stateDir)).toEqual(["identity.json"]);
});

test("the key is on disk before the hub hears of it, and a lost answer spends no token", async () => {
  hub.onRequest = () => "lost";
  const first = startProcess();
  await expect(enrolBox(wish(), first, never)).rejects.toThrow();
  expect(hub.boxes.size).toBe(1);
  hub.onRequest = undefined;
  const second = startProcess();
  expect(second.file.current().pending?.key).toBe(first.file.current().pending?.key);
  expect(await enrolBox(wish(), second, never)).toBe("pending");
  expect(hub.boxes.get("north-1")?.key).toBe(hashOf(second.file.current().current?.key ?? ""));
});

test("a token that is none, was used or names another hub leaves what is in force", async () => {
  await enrolBox(wish(), startProcess(), never);
  const deps = startProcess();
  const before = deps.file.current().current;
  await expect(enrolBox({ ...wish(), token: "sluice1.nonsense" }, deps, never)).rejects.toMatchObject({
    code: "invalid",
  });
  await expect(enrolBox(wish("another-token-that-is-unknown"), deps, never)).rejects.toMatchObject({
    code: "unauthorized",
    message: "HTTP 401: the token was used or has expired",
  });
  const wrongHub = formatEnrolmentString({ hub: "https://hub.test/", token: SECRET, ca: "ab".repeat(32) });
  const readChain = async () => [{ pem: "PEM", fingerprint: "cd".repeat(32), subject: "else" }];
  await expect(enrolBox({ ...wish(), token: wrongHub }, { ...deps, readChain }, never)).rejects.toMatchObject({
    code: "refused",
  });
  expect(startProcess().file.current().current).toEqual(before);
});

test("a disk that refuses the key keeps the token unspent", async () => {
  const deps = startProcess({ effect: 1, when: "before" });
  await expect(enrolBox(wish(), deps, never)).rejects.toMatchObject({ code: "storage" });
  expect(hub.requests).toEqual([]);
});

test("the authority that the token names is kept, and is the only one that the hub is believed by", async () => {
  const asked: (string | undefined)[] = [];
  const deps = startProcess();
  const withAuthority = formatEnrolmentString({ hub: "https://hub.test/", token: SECRET, ca: "ab".repeat(32) });
  const readChain = async () => [
    { pem: "LEAF", fingerprint: "cd".repeat(32), subject: "hub" },
    { pem: "ROOT", fingerprint: "ab".repeat(32), subject: "authority" },
  ];
  const fetchTrusting = (
    ca: string | undefined,
  ): EnrolDeps["fetchTrusting"] extends (ca: string | undefined) => infer F ? F : never => {
    asked.push(ca);
    return (_url, init) => httpFetch(new URL(`${hub.url}v1/enrol`), init);
  };
  await enrolBox({ ...wish(), token: withAuthority }, { ...deps, readChain, fetchTrusting }, never);
  expect(asked).toEqual(["ROOT"]);
  expect(deps.file.current().current?.ca).toBe("ROOT");
  expect(await readFile(join(stateDir, "hub-ca.pem"), "utf8")).toBe("ROOT");
});

const CRASHES = [1, 2, 3].flatMap((effect) => (["before", "after"] as const).map((when) => ({ effect, when })));

test.each(CRASHES)(
  "an enrolment that is cut off $when its effect $effect is finished by the next agent",
  async (killAt) => {
    await expect(enrolBox(wish(), startProcess(killAt), never)).rejects.toThrow(/killed/);
    const next = startProcess();
    expect(await enrolBox(wish(), next, never)).toBe("pending");
    expect(hub.boxes.get("north-1")?.key).toBe(hashOf(next.file.current().current?.key ?? ""));
  },
);

const ROTATION_EFFECTS = 4;
const ROTATION_CRASHES = Array.from({ length: ROTATION_EFFECTS }, (_, index) =>
  (["before", "after"] as const).map((when) => ({ effect: index + 1, when })),
).flat();

test("a change of the key has the effects that the table of crashes cuts at", async () => {
  await enrolBox(wish(), startProcess(), never);
  const deps = startProcess();
  const before = deps.file.current().current;
  await rotateKey(where(), rotateDeps(deps), never);
  expect(deps.effects()).toBe(ROTATION_EFFECTS);
  const after = deps.file.current().current;
  expect(after?.key).not.toBe(before?.key);
  expect(hub.boxes.get("north-1")).toMatchObject({ key: hashOf(after?.key ?? ""), nextKey: undefined });
});

test.each(ROTATION_CRASHES)(
  "cut off $when its effect $effect, a key that opens the hub is on disk, and the next agent finishes",
  async (killAt) => {
    await enrolBox(wish(), startProcess(), never);
    const killed = startProcess(killAt);
    await expect(rotateKey(where(), rotateDeps(killed), never)).rejects.toThrow(/killed/);
    const next = startProcess();
    const { key = "", nextKey = "" } = next.file.current().current ?? {};
    const box = hub.boxes.get("north-1");
    expect([hashOf(key), hashOf(nextKey)]).toContain(box?.key);
    await rotateKey(where(), rotateDeps(next), never);
    expect(hub.boxes.get("north-1")).toMatchObject({
      key: hashOf(next.file.current().current?.key ?? ""),
      nextKey: undefined,
    });
  },
);

test("a hub that came back from a backup and never heard of the next key is told again", async () => {
  await enrolBox(wish(), startProcess(), never);
  // Killed after the next key was written down.
  await expect(rotateKey(where(), rotateDeps(startProcess({ effect: 2, when: "after" })), never)).rejects.toThrow(
    /killed/,
  );
  const box = hub.boxes.get("north-1");
  if (box !== undefined) box.nextKey = undefined;
  const next = startProcess();
  await rotateKey(where(), rotateDeps(next), never);
  expect(hub.boxes.get("north-1")?.key).toBe(hashOf(next.file.current().current?.key ?? ""));
});

test("an identity that is damaged is put aside, and the box says that it has to enrol again", async () => {
  await enrolBox(wish(), startProcess(), never);
  await replaceFile(join(stateDir, "identity.json"), "{}", false);
  const log = createMemoryLog();
  expect(openIdentityFile(stateDir, { clock: systemClock, log }).current()).toEqual({});
  expect(log.lines.join()).toContain("identity.json cannot be used");
});

test.skipIf(process.getuid?.() !== 0)("what root enrols belongs to the user whose agent will read it", async () => {
  await chown(stateDir, 65_534, 65_534);
  const deps = {
    clock: systemClock,
    fetch: httpFetch,
    redactor: createRedactor(),
    pid: process.pid,
    log: createMemoryLog(),
  };
  expect(await enrolHere({ ...wish(), stateDir }, deps, never)).toEqual({
    state: "pending",
    hub: hub.url,
    mustRestartAgent: false,
  });
  const { uid, gid, mode } = await stat(join(stateDir, "identity.json"));
  expect({ uid, gid, mode: mode & 0o777 }).toEqual({ uid: 65_534, gid: 65_534, mode: 0o600 });
});
