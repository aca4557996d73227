import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createMemoryLog } from "./log.ts";
import { createProcessTable } from "./process-table.ts";
import { acquireStateLock } from "./state-lock.ts";

const HOLDER = resolve(import.meta.dirname, "../../test-server/programs/lock-holder.ts");
let stateDir = "";
const children = new Set<ChildProcess>();

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), "sluice-lock-"));
});
afterEach(async () => {
  for (const child of children) await end(child);
  await rm(stateDir, { recursive: true, force: true });
});

async function end(child: ChildProcess): Promise<void> {
  children.delete(child);
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

function startHolder(): { readonly child: ChildProcess; readonly answer: Promise<string> } {
  const child = spawn(process.execPath, [HOLDER, stateDir], { stdio: ["ignore", "pipe", "inherit"] });
  children.add(child);
  const answer = once(child.stdout, "data").then(([data]) => String(data).trim());
  return { child, answer };
}

const acquire = () => {
  const log = createMemoryLog();
  return acquireStateLock(stateDir, {
    table: createProcessTable(),
    log,
    pid: process.pid,
    nowIso: () => "2026-01-15T10:30:45.000Z",
  });
};

test("the second one is refused and told who holds it", async () => {
  const { child, answer } = startHolder();
  expect(await answer).toBe("held");
  await expect(acquire()).rejects.toMatchObject({ code: "conflict", field: "stateDir" });
  await expect(acquire()).rejects.toThrow(`pid ${child.pid}, since `);
});

test("a release lets the next one in", async () => {
  await (await acquire()).release();
  await (await acquire()).release();
});

test("a holder that was killed is followed at once", async () => {
  const { child, answer } = startHolder();
  expect(await answer).toBe("held");
  await end(child);
  await (await acquire()).release();
});

test("a holder that is stopped for long is never robbed, however old its lock looks", async () => {
  const { child, answer } = startHolder();
  expect(await answer).toBe("held");
  child.kill("SIGSTOP");
  utimesSync(join(stateDir, "agent.lock"), 0, 0);
  await expect(acquire()).rejects.toMatchObject({ code: "conflict" });
});

test("a lock whose number now belongs to a stranger is stale", async () => {
  mkdirSync(join(stateDir, "agent.lock"));
  const owner = {
    pid: 1,
    startTicks: 999_999_999,
    bootId: createProcessTable().bootId(),
    since: "2026-01-01T00:00:00Z",
  };
  writeFileSync(join(stateDir, "agent.lock.owner"), JSON.stringify(owner));
  await (await acquire()).release();
});

test("a lock of an earlier boot, or with a torn owner, is stale", async () => {
  mkdirSync(join(stateDir, "agent.lock"));
  writeFileSync(join(stateDir, "agent.lock.owner"), '{"pid":1,"startT');
  await (await acquire()).release();
});

test.each(["a file in the place of the lock", "a lock that holds something", "a directory in the place of the owner"])(
  "%s keeps nobody out",
  async (what) => {
    const [lock, owner] = [join(stateDir, "agent.lock"), join(stateDir, "agent.lock.owner")];
    if (what.startsWith("a file")) writeFileSync(lock, "");
    else mkdirSync(what.endsWith("owner") ? owner : join(lock, "something"), { recursive: true });
    await (await acquire()).release();
  },
);

test("the owner is never written through a link", async () => {
  const precious = join(stateDir, "precious");
  writeFileSync(precious, "somebody else's");
  symlinkSync(precious, join(stateDir, "agent.lock.owner"));
  await (await acquire()).release();
  expect(readFileSync(precious, "utf8")).toBe("somebody else's");
  expect(readFileSync(join(stateDir, "agent.lock.owner"), "utf8")).toContain(`"pid":${process.pid}`);
});

const canMount =
  process.getuid?.() === 0 && spawnSync("mount", ["-t", "tmpfs", "none", tmpdir(), "--fake"]).status === 0;

test.skipIf(!canMount)("a disk that turned read-only under a lock whose owner is lost keeps nobody out", async () => {
  const mount = (...args: string[]) => expect(spawnSync("mount", args).status).toBe(0);
  mount("-t", "tmpfs", "none", stateDir);
  try {
    mkdirSync(join(stateDir, "agent.lock"));
    mount("-o", "remount,ro", stateDir);
    const held = await acquire();
    await expect(acquire()).rejects.toMatchObject({ code: "conflict" });
    await held.release();
  } finally {
    expect(spawnSync("umount", [stateDir]).status).toBe(0);
  }
});

test("of many that start together exactly one wins", async () => {
  for (let round = 0; round < 5; round++) {
    const holders = Array.from({ length: 6 }, startHolder);
    const answers = await Promise.all(holders.map(({ answer }) => answer));
    expect(answers.filter((answer) => answer === "held")).toHaveLength(1);
    expect(answers.filter((answer) => answer.startsWith("refused state directory"))).toHaveLength(5);
    for (const { child } of holders) await end(child);
  }
});
