import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createMemoryLog } from "../../base/log.ts";
import { openVolumeRules } from "./volume-rules.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-volumes-"));
});
afterEach(() => rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 }));

const file = () => join(directory, "volume_rules.json");
const open = () =>
  openVolumeRules(
    { file: file() },
    { clock: createFakeClock(), log: createMemoryLog(), signal: new AbortController().signal },
  );

test("the next agent knows what was said last of each volume, also of one that is listed no more", async () => {
  const first = open();
  first.note("app", [{ name: "data" }, { name: "tmp", onStop: "delete" }, { name: "own", hostPath: "/srv" }]);
  first.note("app", [{ name: "data", onStop: "delete" }]);
  await first.commit();
  expect([...open().of("app")]).toEqual([
    ["data", "delete"],
    ["tmp", "delete"],
  ]);
  expect(open().of("other").size).toBe(0);
});

test("sessions without volumes of their own, and what is said again, write nothing", async () => {
  const first = open();
  first.note("app", []);
  first.note("app", [{ name: "own", hostPath: "/srv" }]);
  await first.commit();
  expect(await readdir(directory)).toEqual([]);
  first.note("app", [{ name: "data" }]);
  await first.commit();
  first.note("app", [{ name: "data", onStop: "keep" }]);
  await first.commit();
  expect(await readdir(directory)).toEqual(["volume_rules.json"]);
});

test("a file that is no such document says nothing, and of very many sessions the last ones are remembered", async () => {
  await writeFile(file(), "{}");
  const rules = open();
  expect(rules.problems).toHaveLength(1);
  for (let at = 0; at < 2005; at++) rules.note(`s-${at}`, [{ name: "data" }]);
  expect([rules.of("s-4").size, rules.of("s-5").size]).toEqual([0, 1]);
});
