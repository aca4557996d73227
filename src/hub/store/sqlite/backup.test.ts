import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../../base/clock.ts";
import { createTestContext } from "../../../cli/command-context.fake.ts";
import { runProgram } from "../../../cli/program.ts";
import { openEvents } from "../../box-client.fake.ts";
import { startTestHub, streamBody, type TestHub } from "../../hub-world.fake.ts";
import { restoreStore } from "./restore-store.ts";

let directory = "";
let path = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-backup-"));
  path = join(directory, "hub.db");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const start = (admin?: string) =>
  startTestHub({
    store: { kind: "sqlite", path },
    files: { dataDir: directory },
    ...(admin === undefined ? {} : { admin }),
  });

async function sluice(hub: Pick<TestHub, "origin">, token: string, ...args: readonly string[]) {
  const context = createTestContext(directory, { env: { SLUICE_HUB: hub.origin, SLUICE_HUB_TOKEN: token } });
  return { exitCode: await runProgram(["backup", ...args], context), context };
}

let restored = 0;
const ids = { newId: () => `restored-${restored++}`, nowIso: () => new Date(systemClock.wallMs()).toISOString() };

test("a hub that lost its store goes on from a backup: no box keeps a cursor of the time after it", async () => {
  const file = join(directory, "kept.db");
  const hub = await start();
  const { admin } = hub.tokens;
  const key = await hub.enrol("north-1");
  const put = (of: TestHub, id: string) =>
    of.ask("PUT", `/v1/boxes/north-1/workloads/${id}`, { token: admin, body: { workload: streamBody(id) } });
  await put(hub, "cam-1");
  const { exitCode, context } = await sluice(hub, admin, file);
  expect([exitCode, context.err()]).toEqual([0, ""]);
  expect(context.out()).toMatch(/kept\.db: \d+ KiB, boxes: 1, whole and checked \(SHA-256 [0-9a-f]{64}\)/);
  expect(statSync(file).mode & 0o077).toBe(0);
  await put(hub, "cam-2");
  await put(hub, "cam-3");
  const before = await openEvents(`${hub.origin}/v1/boxes/north-1/events`, { token: key });
  const { id: future } = await before.until(({ name }) => name === "expected");
  expect(() => restoreStore({ from: file, path }, ids)).toThrow(/in use by a hub; stop it first/);
  await hub.close();
  expect(readdirSync(directory).filter((name) => name.includes("backup"))).toEqual([]);

  const epochs = new Set([future?.split(".")[0]]);
  for (const more of [["cam-4", "cam-5", "cam-6", "cam-7"], []]) {
    const { keptAs, boxes } = restoreStore({ from: file, path }, ids);
    expect([boxes, statSync(path).mode & 0o777, statSync(keptAs ?? "").isFile()]).toEqual([1, 0o600, true]);
    await using again = await start(admin);
    for (const id of more) expect((await put(again, id)).status).toBe(200);
    const events = await openEvents(`${again.origin}/v1/boxes/north-1/events`, { token: key, lastEventId: future });
    const { id, data } = await events.until(({ name }) => name === "expected");
    expect((data as { workloads: { id: string }[] }).workloads.map((workload) => workload.id)).toEqual([
      "cam-1",
      ...more,
    ]);
    epochs.add(id?.split(".")[0]);
    events.close();
  }
  // Twice from the same backup is two lives too.
  expect(epochs.size).toBe(3);
});

test("a damaged store gives way to its backup, and what lay beside it is not taken for the backup's", async () => {
  const file = join(directory, "kept.db");
  const hub = await start();
  await hub.enrol("north-1");
  await sluice(hub, hub.tokens.admin, file);
  await hub.close();
  writeFileSync(path, "nothing that SQLite knows ".repeat(500));
  writeFileSync(`${path}-wal`, "nor this");
  restoreStore({ from: file, path }, ids);
  await using again = await start(hub.tokens.admin);
  expect((await again.ask("GET", "/v1/boxes")).body.items).toHaveLength(1);
});

test("what is no whole backup is refused, and the store stays as it is", async () => {
  const hub = await start();
  const file = join(directory, "kept.db");
  await sluice(hub, hub.tokens.admin, file);
  await hub.close();
  const before = readFileSync(path);
  const bytes = readFileSync(file);
  const bad = join(directory, "bad.db");
  const refused = (content: Buffer | string) => {
    writeFileSync(bad, content);
    expect(() => restoreStore({ from: bad, path }, ids)).toThrow(/bad\.db/);
  };
  refused("");
  refused("no database at all, and long enough to look like one\n".repeat(100));
  refused(bytes.subarray(0, bytes.length - 4096));
  refused(Buffer.concat([bytes.subarray(0, 4096), Buffer.alloc(4096, 1), bytes.subarray(8192)]));
  writeFileSync(bad, bytes);
  const newer = new DatabaseSync(bad);
  newer.exec("PRAGMA user_version = 99");
  newer.close();
  expect(() => restoreStore({ from: bad, path }, ids)).toThrow(expect.objectContaining({ code: "version" }));
  expect(readFileSync(path).equals(before)).toBe(true);
});

test("a file that is there is not written over unless that is asked for, and a role below admin gets none", async () => {
  await using hub = await start();
  const file = join(directory, "kept.db");
  writeFileSync(file, "mine");
  const kept = await sluice(hub, hub.tokens.admin, file);
  expect([kept.exitCode, kept.context.err()]).toEqual([64, expect.stringContaining("allowed: a new name, or --force")]);
  expect((await sluice(hub, hub.tokens.operator, file, "--force")).exitCode).toBe(77);
  expect(readFileSync(file, "utf8")).toBe("mine");
  expect((await sluice(hub, hub.tokens.admin, file, "--force", "--json")).exitCode).toBe(0);
  const audit = await hub.ask("GET", "/v1/audit?action=backup");
  expect(audit.body.items).toMatchObject([{ action: "backup.make", subject: "store", outcome: "done" }]);
});

test("a reader that goes away in the middle leaves no copy, and the next one gets its own", async () => {
  await using hub = await start();
  const headers = { authorization: `Bearer ${hub.tokens.admin}` };
  const stop = new AbortController();
  const answer = await fetch(`${hub.origin}/v1/backup`, { headers, signal: stop.signal });
  expect(answer.status).toBe(200);
  stop.abort();
  await expect.poll(async () => (await sluice(hub, hub.tokens.admin, join(directory, "next.db"))).exitCode).toBe(0);
});

test("a hub without a file of its own says what to do instead", async () => {
  await using hub = await startTestHub();
  const { exitCode, context } = await sluice(hub, hub.tokens.admin, join(directory, "none.db"));
  expect(exitCode).toBe(69);
  expect(context.err()).toMatch(/back up Redis by its own means/);
  expect((await hub.ask("GET", "/v1/backup")).status).toBe(409);
  expect(readdirSync(directory)).toEqual([]);
});
