import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createMemoryLog } from "../../base/log.ts";
import { NO_MEMORY, openSessionFile, type SessionMemory } from "./session-file.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-session-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const path = () => join(directory, "app/session.json");
const open = (log = createMemoryLog()) =>
  openSessionFile(path(), { clock: createFakeClock(), log, signal: new AbortController().signal });
const MEMORY: SessionMemory = {
  turn: 4,
  platform: "process",
  sleep: { because: "idle", turn: 4, sinceMs: 5, depth: "frozen" },
  wakeMs: { frozen: 12 },
};

test("what was remembered is there for the next agent, and a session that remembers nothing leaves nothing", async () => {
  const first = open();
  expect(first.memory()).toEqual(NO_MEMORY);
  await expect(readdir(directory)).resolves.toEqual([]);
  first.remember(MEMORY);
  await first.commit();
  expect(open().memory()).toEqual(MEMORY);
});

test("a file that was cut off is put aside, and the one before it counts", async () => {
  const first = open();
  first.remember(MEMORY);
  await first.commit();
  first.remember({ ...MEMORY, turn: 5 });
  await first.commit();
  await writeFile(path(), (await readFile(path(), "utf8")).slice(0, 40));
  const log = createMemoryLog();
  expect(open(log).memory()).toEqual(MEMORY);
  expect(log.lines.some((line) => line.includes("session.json cannot be used"))).toBe(true);
});
