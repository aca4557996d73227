import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createMemoryLog } from "../../base/log.ts";
import { createProcessTable } from "../../base/process-table.ts";
import { judgeBoot } from "./boot-facts.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-boot-"));
  for (const name of ["state", "proc/sys/kernel/random"]) mkdirSync(join(directory, name), { recursive: true });
  machine("6d4a1c9e-0000-4000-8000-000000000001", 120);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function machine(bootId: string, uptimeSeconds: number, bootTime = 1_700_000_000): void {
  writeFileSync(join(directory, "proc/sys/kernel/random/boot_id"), `${bootId}\n`);
  writeFileSync(join(directory, "proc/uptime"), `${uptimeSeconds}.50 1000.00\n`);
  writeFileSync(join(directory, "proc/stat"), `cpu 1 2 3\nbtime ${bootTime}\n`);
}

function judge() {
  const log = createMemoryLog();
  const table = createProcessTable(join(directory, "proc"));
  const options = { stateDir: join(directory, "state"), thresholdMs: 300_000 };
  return { judgement: judgeBoot(options, { table, clock: createFakeClock(), log }), log };
}

async function start() {
  const { judgement, log } = judge();
  await judgement.save();
  return { verdict: judgement.verdict, lines: log.lines };
}

test("a first start, a restart two minutes after the boot, and a reboot are told apart and logged", async () => {
  expect((await start()).verdict).toBe("first");
  expect(await start()).toEqual({
    verdict: "restart",
    lines: ["[INFO] Restart on the same boot (uptime: 120 seconds): the boot id is the same"],
  });
  machine("6d4a1c9e-0000-4000-8000-000000000002", 45, 1_700_009_000);
  const { verdict, lines } = await start();
  expect(verdict).toBe("reboot");
  expect(lines[0]).toBe("[INFO] Fresh boot detected (uptime: 45 seconds)");
  expect((await start()).verdict).toBe("restart");
});

test("a clock that is set by years is no reboot", async () => {
  await start();
  machine("6d4a1c9e-0000-4000-8000-000000000001", 130, 1_900_000_000);
  expect((await start()).verdict).toBe("restart");
});

test("a verdict that was not carried out is reached again", async () => {
  await start();
  machine("6d4a1c9e-0000-4000-8000-000000000002", 45);
  for (let round = 0; round < 2; round++) expect(judge().judgement.verdict).toBe("reboot");
});

test("a marker that is damaged counts as none and is put aside", async () => {
  await start();
  const marker = join(directory, "state/.boot_marker");
  const text = readFileSync(marker, "utf8");
  for (const damaged of ["", "garbage", text.slice(0, 60)]) {
    writeFileSync(marker, damaged);
    expect((await start()).verdict).toBe("first");
  }
  expect(readdirSync(join(directory, "state")).filter((name) => name.includes(".bad-"))).toHaveLength(3);
});

test("a disk that refuses the marker stops nothing", async () => {
  rmSync(join(directory, "state"), { recursive: true });
  const { verdict, lines } = await start();
  expect(verdict).toBe("first");
  expect(lines.at(-1)).toContain(".boot_marker cannot be written");
});
