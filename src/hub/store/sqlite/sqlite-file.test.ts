import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createStore } from "../create-store.ts";
import { enrol, NOW, stream } from "../store.fake.ts";
import { APPLICATION_ID, MIGRATIONS, migrate } from "./migrations.ts";
import { createSqliteEngine } from "./sqlite-engine.ts";
import { createSqliteStore, type SqliteStore } from "./sqlite-store.ts";

const WRITING_HUB = join(import.meta.dirname, "writing-hub.fake.ts");
let directory = "";
let path = "";
const children = new Set<ChildProcess>();
const stores = new Set<SqliteStore>();

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-store-"));
  path = join(directory, "hub.db");
});

afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  children.clear();
  for (const store of stores) await store.close();
  stores.clear();
  rmSync(directory, { recursive: true });
});

function open(file = path): SqliteStore {
  const store = createSqliteStore({ path: file }, { newId: randomUUID });
  stores.add(store);
  return store;
}

async function close(store: SqliteStore): Promise<void> {
  await store.close();
  stores.delete(store);
}

function startHub(many = 0): {
  readonly child: ChildProcess;
  readonly lines: () => readonly string[];
  readonly errors: () => string;
} {
  const child = spawn(process.execPath, [WRITING_HUB, path, String(many)], { stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  let output = "";
  let errors = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  // A last line without its end was cut off by the kill: the write was acknowledged, and nobody was told.
  return { child, lines: () => output.split("\n").slice(0, -1), errors: () => errors };
}

test("a hub that is killed at any write loses nothing that it had acknowledged, and leaves nothing half done", async () => {
  let last = 0;
  for (let round = 0; round < 8; round++) {
    const hub = startHub();
    await expect.poll(() => hub.lines().length, { timeout: 20_000, interval: 5 }).toBeGreaterThan(5);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 120));
    const gone = once(hub.child, "close");
    hub.child.kill("SIGKILL");
    await gone;
    last = Math.max(last, ...hub.lines().slice(1).map(Number));
    const store = open();
    const set = await store.expected.get("b");
    expect(set.revision).toBeGreaterThanOrEqual(last);
    expect(set.revision).toBeLessThanOrEqual(last + 1);
    const after = await store.expected.after("b", `${set.epoch}.${Math.max(0, set.revision - 256)}`, 1000);
    expect(after.kind === "changes" && after.changes.at(-1)?.revision).toBe(set.revision);
    expect((await store.audit.list({}, { limit: 1 })).items[0]?.sequence).toBe(set.revision);
    await close(store);
  }
  expect(last).toBeGreaterThan(40);
});

const tracesHere = spawnSync("strace", ["-f", "-o", "/dev/null", "true"], { stdio: "ignore" }).status === 0;
test.skipIf(!tracesHere)(
  "each write that was acknowledged had been synced to the disk: one more sync, at least, for each",
  async () => {
    const trace = join(directory, "trace");
    const program = ["-f", "-y", "-e", "trace=fsync,fdatasync", "-o", trace, process.execPath, WRITING_HUB, path];
    const child = spawn("strace", program, { stdio: ["ignore", "pipe", "ignore"] });
    children.add(child);
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const lines = () => output.split("\n").slice(0, -1);
    await expect.poll(() => lines().length, { timeout: 60_000, interval: 5 }).toBeGreaterThan(20);
    const gone = once(child, "close");
    // strace waits for what it traces, which is the process of the first line.
    process.kill(Number(/^\d+/.exec(readFileSync(trace, "utf8"))?.[0]), "SIGKILL");
    await gone;
    const syncs = readFileSync(trace, "utf8").match(/sync\(\d+<[^>]*hub\.db-wal>\)/g) ?? [];
    expect(syncs.length).toBeGreaterThanOrEqual(lines().length - 1);
  },
);

test("a hub that is killed while it changes many boxes in one step has changed all of them, or none", async () => {
  const ids = Array.from({ length: 20 }, (_, n) => `m-${n}`);
  let last = 0;
  for (let round = 0; round < 6; round++) {
    const hub = startHub(ids.length);
    await expect.poll(() => hub.lines().length, { timeout: 20_000, interval: 5 }).toBeGreaterThan(3);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 120));
    const gone = once(hub.child, "close");
    hub.child.kill("SIGKILL");
    await gone;
    last = Math.max(last, ...hub.lines().slice(1).map(Number));
    const store = open();
    const sets = await Promise.all(ids.map((id) => store.expected.get(id)));
    const revision = sets[0]?.revision ?? 0;
    expect(new Set(sets.map((set) => set.revision))).toEqual(new Set([revision]));
    expect([last, last + 1]).toContain(revision);
    expect((await store.audit.list({}, { limit: 1 })).items[0]?.sequence).toBe(revision * ids.length);
    for (const { boxId, epoch } of sets) {
      const after = await store.expected.after(boxId, `${epoch}.${Math.max(0, revision - 256)}`, 1000);
      expect(after.kind === "changes" && after.changes.at(-1)?.revision).toBe(revision);
    }
    await close(store);
  }
  expect(last).toBeGreaterThan(15);
});

test("verbs that wait together are one transaction, and one that cannot be written takes no other with it", async () => {
  const db = new DatabaseSync(path);
  migrate(db, path);
  const store = createStore(createSqliteEngine(db, path), { newId: randomUUID });
  for (const id of ["a", "b", "c"]) await enrol(store, id);
  db.exec(
    "CREATE TRIGGER refuse BEFORE INSERT ON entry WHEN new.log = 'expected/b' BEGIN SELECT RAISE(FAIL, 'no'); END",
  );
  const change = (id: string, n: number) => store.expected.change(id, { put: [stream(`s-${n}`)] }, { nowMs: NOW });
  const results = await Promise.allSettled(["a", "b", "c", "a", "nobody"].map((id, n) => change(id, n)));
  expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled", "rejected"]);
  expect(results[1]).toMatchObject({ reason: { code: "store-unavailable" } });
  expect(results[4]).toMatchObject({ reason: { code: "not-found" } });
  expect([await store.expected.get("a"), await store.expected.get("b")]).toMatchObject([
    { revision: 2 },
    { revision: 0 },
  ]);
  await store.close();
});

test("verbs that wait when the store is closed are carried out", async () => {
  const store = open();
  await enrol(store, "b");
  const changed = store.expected.change("b", { put: [stream("a")] }, { nowMs: NOW });
  await close(store);
  expect(await changed).toMatchObject({ revision: 1 });
  expect(await open().expected.get("b")).toMatchObject({ revision: 1 });
});

test("a second hub on the same file is refused, whoever starts it, and told what to do", async () => {
  const hub = startHub();
  await expect.poll(() => hub.lines()[0], { timeout: 20_000 }).toBe("ready");
  expect(() => open()).toThrowError(expect.objectContaining({ code: "conflict", field: "store.file" }));
  expect(() => open()).toThrowError(/in use by another hub/);
  const second = startHub();
  expect(await once(second.child, "close")).toEqual([1, null]);
  expect(second.errors()).toMatch(/in use by another hub/);
  const gone = once(hub.child, "close");
  hub.child.kill("SIGKILL");
  await gone;
  expect(await open().boxes.get("b")).toBeDefined();
});

test("a file is refused while an idle hub holds it, before that has written anything", () => {
  open();
  expect(() => open()).toThrowError(/in use by another hub/);
});

test("a file of a newer program is refused and left as it is", async () => {
  await close(open());
  const db = new DatabaseSync(path);
  db.exec(`PRAGMA user_version = ${MIGRATIONS.length + 1}`);
  db.close();
  expect(() => open()).toThrowError(expect.objectContaining({ code: "version" }));
  expect(() => open()).toThrowError(/run the newer program, or restore a backup/);
});

test("a file of another program, a damaged one and a missing directory are refused by name", () => {
  const foreign = join(directory, "foreign.db");
  const db = new DatabaseSync(foreign);
  db.exec("CREATE TABLE holiday (photo BLOB)");
  db.close();
  expect(() => open(foreign)).toThrowError(expect.objectContaining({ code: "config" }));
  writeFileSync(path, "this is no database, and it is long enough to look like one\n".repeat(100));
  expect(() => open()).toThrowError(/damaged or no SQLite file/);
  expect(() => open(join(directory, "nowhere", "hub.db"))).toThrowError(expect.objectContaining({ code: "storage" }));
});

test("a migration runs once, forward, and a broken one leaves the file at the version before", () => {
  const db = new DatabaseSync(path);
  const steps = ["CREATE TABLE one (a)", "ALTER TABLE one ADD COLUMN b"];
  migrate(db, path, steps.slice(0, 1));
  migrate(db, path, steps);
  migrate(db, path, steps);
  expect(db.prepare("PRAGMA user_version").get()).toEqual({ user_version: 2 });
  expect(db.prepare("PRAGMA application_id").get()).toEqual({ application_id: APPLICATION_ID });
  expect(() => migrate(db, path, [...steps, "CREATE TABLE two (a); SELECT nonsense"])).toThrowError(/nonsense/);
  expect(db.prepare("PRAGMA user_version").get()).toEqual({ user_version: 2 });
  expect(db.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'two'").get()).toEqual({ n: 0 });
  db.close();
});

test("the file and its companions are for their owner only", async () => {
  await enrol(open(), "b");
  const modes = readdirSync(directory).map((name) => statSync(join(directory, name)).mode & 0o777);
  expect(modes.length).toBeGreaterThanOrEqual(2);
  expect(new Set(modes)).toEqual(new Set([0o600]));
});

test("a backup made while verbs go on is whole, and begins a life of its own", async () => {
  const store = open();
  await enrol(store, "b");
  await store.expected.change("b", { put: [stream("a")] }, { nowMs: NOW });
  const { cursor } = await store.events.after(undefined, 1);
  const target = join(directory, "copy.db");
  let isCopying = true;
  let written = 1;
  const writing = (async () => {
    while (isCopying) {
      written = (await store.expected.change("b", { put: [stream(`n-${written}`)] }, { nowMs: NOW })).revision;
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  await store.backup(target);
  isCopying = false;
  await writing;
  const copy = open(target);
  const [original, copied] = [await store.expected.get("b"), await copy.expected.get("b")];
  expect(copied.revision).toBeGreaterThanOrEqual(1);
  expect(copied.entries).toHaveLength(copied.revision);
  expect(written).toBe(original.revision);
  expect(copied.epoch).not.toBe(original.epoch);
  expect(await copy.expected.after("b", `${original.epoch}.1`, 10)).toMatchObject({ reason: "other-epoch" });
  expect(await copy.events.after(cursor, 10)).toMatchObject({ kind: "gone", reason: "other-store" });
  expect(readdirSync(directory).filter((name) => name.includes("part"))).toEqual([]);
  await expect(store.backup(join(directory, "nowhere", "copy.db"))).rejects.toMatchObject({ code: "storage" });
});

test("what was relaxed is there after the hub was killed", async () => {
  const store = open();
  await enrol(store, "b");
  await store.reports.noteContacts([{ boxId: "b", lastContactMs: NOW, hubId: "h" }]);
  // The files as a kill leaves them: nothing was closed, nothing was carried over from the write-ahead log.
  const copy = join(directory, "killed.db");
  for (const suffix of ["", "-wal"]) copyFileSync(`${path}${suffix}`, `${copy}${suffix}`);
  expect(await open(copy).reports.contact("b")).toMatchObject({ lastContactMs: NOW });
});

test("a full file is said as such, nothing half done is left, and verbs go on when there is room", async () => {
  const db = new DatabaseSync(path);
  migrate(db, path);
  const store = createStore(createSqliteEngine(db, path), { newId: randomUUID });
  await enrol(store, "b");
  const pages = Number(db.prepare("PRAGMA page_count").get()?.["page_count"]);
  db.exec(`PRAGMA max_page_count = ${pages + 3}`);
  const big = (n: number) => ({ put: [stream(`s-${n}`, `rtsp://camera/${"x".repeat(2000)}`)] });
  let acknowledged = 0;
  const fill = async () => {
    for (let n = 0; n < 50; n++) acknowledged = (await store.expected.change("b", big(n), { nowMs: NOW })).revision;
  };
  await expect(fill()).rejects.toMatchObject({ code: "store-unavailable" });
  expect(await store.expected.get("b")).toMatchObject({ revision: acknowledged });
  db.exec("PRAGMA max_page_count = 1000000");
  expect((await store.expected.change("b", big(99), { nowMs: NOW })).revision).toBe(acknowledged + 1);
  await store.close();
});
