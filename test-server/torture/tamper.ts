import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { REGISTRY_FORMAT } from "../../src/agent/registry/registry.ts";
import { formatDocument, parseDocument } from "../../src/base/document.ts";
import { createProcessTable } from "../../src/base/process-table.ts";
import type { Tamper } from "./action.ts";
import type { TortureWorld } from "./torture-world.ts";

/** Does to the state directory what disks, people and other programs do to it. Only while no agent runs. */
export function tamper(wanted: Tamper, world: TortureWorld): void {
  try {
    switch (wanted.kind) {
      case "file":
        tamperWithFile(join(world.stateDir, wanted.file), wanted.how, world);
        break;
      case "forge":
        forgeRegistry(world);
        break;
      case "lock":
        leaveLock(wanted.how, world);
        break;
    }
  } catch {
    // A disk that is full or read-only at this moment keeps what it holds.
  }
}

function tamperWithFile(
  path: string,
  how: Extract<Tamper, { readonly kind: "file" }>["how"],
  { precious }: TortureWorld,
): void {
  switch (how) {
    case "empty":
      truncateSync(path);
      break;
    case "half":
      truncateSync(path, Math.floor(readFileSync(path).length / 2));
      break;
    case "garbage":
      writeFileSync(path, Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 197) % 256)));
      break;
    case "nul":
      writeFileSync(path, Buffer.alloc(readFileSync(path).length));
      break;
    case "gone":
      rmSync(path, { recursive: true });
      break;
    case "lost":
      for (const suffix of ["", ".1", ".2"]) rmSync(`${path}${suffix}`, { recursive: true, force: true });
      break;
    case "link":
      rmSync(path, { recursive: true, force: true });
      symlinkSync(precious.path, path);
      break;
    case "directory":
      rmSync(path, { recursive: true, force: true });
      mkdirSync(path);
      break;
  }
}

/** Whole documents, in all generations, whose records name a bystander with his true start and boot. */
function forgeRegistry({ stateDir, sentinels }: TortureWorld): void {
  const table = createProcessTable();
  const [pid = 1] = sentinels.pids;
  const identity = { pid, startTicks: table.stat(pid)?.startTicks, bootId: table.bootId(), phase: "running" };
  for (const name of readdirSync(stateDir).filter((candidate) => /^registry\.json(?:\.\d)?$/.test(candidate))) {
    const path = join(stateDir, name);
    const parsed = parseDocument(readFileSync(path, "utf8"), REGISTRY_FORMAT);
    const data: { records?: readonly object[] } = parsed.kind === "good" ? Object(parsed.data) : {};
    const records = (data.records ?? []).map((record) => ({ ...record, ...identity }));
    const stranger = { id: "stranger", kind: "stream", nonce: "cd".repeat(16), specHash: "1", generation: 3 };
    const counters = { restarts: 0, failures: 0, sinceMs: 0 };
    const text = JSON.stringify({ records: [...records, { ...stranger, ...counters, ...identity }] });
    writeFileSync(path, formatDocument(REGISTRY_FORMAT, text, "2026-01-01T00:00:00.000Z"));
  }
}

function leaveLock(
  how: Extract<Tamper, { readonly kind: "lock" }>["how"],
  { stateDir, sentinels }: TortureWorld,
): void {
  const table = createProcessTable();
  const [pid = 1] = sentinels.pids;
  const lock = join(stateDir, "agent.lock");
  rmSync(lock, { recursive: true, force: true });
  if (how === "file") writeFileSync(lock, "");
  else mkdirSync(lock);
  const owner =
    how === "other-process"
      ? // The number is taken, by somebody who started at another time.
        { pid, startTicks: (table.stat(pid)?.startTicks ?? 0) - 1, bootId: table.bootId() }
      : { pid: 4_194_304, startTicks: 1, bootId: table.bootId() };
  writeFileSync(join(stateDir, "agent.lock.owner"), JSON.stringify({ ...owner, since: "2026-01-01T00:00:00.000Z" }));
}
