import type { RegistryRecord } from "../registry/record.ts";
import type { FoundProcess, ProcessHandle } from "../runtime/process/process-runtime.ts";
import type { EngineDeps } from "./engine-deps.ts";
import type { Transitions } from "./transitions.ts";
import { createUnit, type Unit } from "./unit.ts";

/**
 * Finds what already runs. The kernel decides: every live process with our mark is looked at, and the registry only adds
 * what `/proc` cannot know (how often it failed before). A lost or forged registry costs nothing.
 *
 * A process that no record knows, or whose stored set was lost, may well be expected: it is stopped only once the server
 * has said so, because losing a file must not cost a stream.
 *
 * Where several processes claim one workload, the newest generation stays; the others, and what a dead leader left
 * behind, are strays for the next sweep.
 */
export async function adoptRunning(
  units: Map<string, Unit>,
  transitions: Transitions,
  deps: EngineDeps,
): Promise<void> {
  const log = deps.logFor("PID");
  const found = await deps.runtime.sweep();
  const records = new Map([...deps.records.all()].map((record) => [record.id, record]));
  const adopted = new Set<number>();

  for (const [id, process] of newestById(found.filter(({ isLeader }) => isLeader))) {
    const handle = deps.runtime.adopt(process.identity, process.mark);
    if (handle === undefined) continue;
    const record = records.get(id);
    const unit = restored(createUnit(id, process.mark.kind, deps.clock.wallMs()), record, handle);
    unit.isUnexplained = !deps.isStoredSetWhole || record?.nonce !== process.mark.nonce;
    units.set(id, unit);
    transitions.takeOver(unit, handle, deps.driverOf(process.mark.kind));
    adopted.add(process.identity.pid);
    const source = record?.nonce === process.mark.nonce ? "" : ", which the registry did not know";
    log.info(`Adopted ${id} (pid ${process.identity.pid})${source}`);
  }

  for (const record of records.values()) {
    if (record.pid !== undefined && !adopted.has(record.pid)) {
      log.warn(`Recorded pid ${record.pid} of ${record.id} is gone or belongs to somebody else: ignored`);
    }
    if (units.has(record.id)) continue;
    const unit = restored(createUnit(record.id, record.kind, record.sinceMs), record, undefined);
    unit.specHash = record.specHash;
    unit.generation = record.generation;
    unit.dueAtMs = deps.clock.monotonicMs();
    unit.cause = "it was not running when the agent started";
    units.set(record.id, unit);
  }
}

function newestById(found: readonly FoundProcess[]): ReadonlyMap<string, FoundProcess> {
  const newest = new Map<string, FoundProcess>();
  for (const process of found) {
    const other = newest.get(process.mark.workloadId);
    if (other === undefined || isNewer(process, other)) newest.set(process.mark.workloadId, process);
  }
  return newest;
}

function isNewer(one: FoundProcess, other: FoundProcess): boolean {
  if (one.mark.generation !== other.mark.generation) return one.mark.generation > other.mark.generation;
  return one.identity.startTicks > other.identity.startTicks;
}

/** What the registry remembers counts only where it speaks of the same launch, or where nothing runs. */
function restored(unit: Unit, record: RegistryRecord | undefined, handle: ProcessHandle | undefined): Unit {
  if (record === undefined || (handle !== undefined && record.nonce !== handle.mark.nonce)) return unit;
  unit.restart = { failures: record.failures, restarts: record.restarts };
  unit.sinceWallMs = record.sinceMs;
  unit.lastExit = record.lastExit;
  return unit;
}
