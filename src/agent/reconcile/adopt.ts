import type { RegistryRecord } from "../registry/record.ts";
import type { ProcessMark, RunHandle } from "../runtime/run-handle.ts";
import type { FoundRun } from "../runtime/workload-runtime.ts";
import type { EngineDeps } from "./engine-deps.ts";
import type { Transitions } from "./transitions.ts";
import { createUnit, type Unit, unitsOf } from "./unit.ts";

/**
 * Finds what already runs. The kernel decides: every live process with our mark is looked at, and the registry only adds
 * what `/proc` cannot know (how often it failed before). A lost or forged registry costs nothing.
 *
 * A process that no record knows, or whose stored set was lost, may well be expected: it is stopped only once the server
 * has said so, because losing a file must not cost a stream.
 *
 * Two processes of one workload with different specs, each in a lane of its own, are an update that was under way: the
 * older is the workload, the newer its successor, which has to prove itself once more. Where several claim one workload in
 * any other way, the newest generation stays; the others, and what a dead leader left behind, are strays for the next sweep.
 */
export async function adoptRunning(
  units: Map<string, Unit>,
  transitions: Transitions,
  deps: EngineDeps,
): Promise<void> {
  const log = deps.logFor("PID");
  const found = await deps.runtime.sweep();
  const records = [...deps.records.all()];
  const adopted = new Set<number>();

  const adopt = (run: FoundRun, role: Unit["role"]): Unit | undefined => {
    const handle = run.adopt();
    if (handle === undefined) return undefined;
    const { workloadId: id, kind, lane = 0, nonce } = run.mark;
    const record = records.find((one) => one.id === id && one.nonce === nonce);
    const unit = restored(createUnit({ id, kind, sinceWallMs: deps.clock.wallMs(), lane, role }), record, handle);
    unit.isUnexplained = !deps.isStoredSetWhole || record === undefined;
    if (run.identity !== undefined) adopted.add(run.identity.pid);
    const source = record === undefined ? ", which the registry did not know" : "";
    log.info(`Adopted ${id} (${run.label})${source}${role === "successor" ? ", to take over from it" : ""}`);
    transitions.takeOver(unit, handle, deps.driverOf(kind));
    return unit;
  };

  const processes = found.filter(({ isLeader, engine }) => isLeader && engine === undefined);
  for (const [id, { current, next }] of byWorkload(processes)) {
    const main = adopt(current, "main");
    const successor = next === undefined ? undefined : adopt(next, main === undefined ? "main" : "successor");
    if (main !== undefined) main.successor = successor;
    const unit = main ?? successor;
    if (unit !== undefined) units.set(id, unit);
  }

  takeInFound(found, units, transitions, deps);

  for (const record of records) {
    if (record.pid !== undefined && !adopted.has(record.pid)) {
      log.warn(`Recorded pid ${record.pid} of ${record.id} is gone or belongs to somebody else: ignored`);
    }
    const known = units.get(record.id);
    if (known !== undefined) {
      const isOfUnit = [known, known.successor].some((unit) => unit?.lane === (record.lane ?? 0));
      if (!isOfUnit) deps.records.remove(record.id, record.lane ?? 0);
    }
  }
  for (const record of memories(records.filter(({ id }) => !units.has(id)))) {
    const { id, kind, sinceMs, lane = 0 } = record;
    const unit = restored(createUnit({ id, kind, sinceWallMs: sinceMs, lane }), record, undefined);
    unit.specHash = record.specHash;
    unit.generation = record.generation;
    unit.dueAtMs = deps.clock.monotonicMs();
    unit.cause = "it was not running when the agent started";
    units.set(id, unit);
    for (const other of records) {
      if (other.id === id && (other.lane ?? 0) !== lane) deps.records.remove(id, other.lane ?? 0);
    }
  }
}

/**
 * Takes over what platforms run of this box's, at boot and whenever one of them answers again: what was found waiting may have
 * gone on there all the time. What ended there with nobody looking has its end told now. Returns what belongs to no unit: a
 * platform holds one instance of a workload, so that is another platform's, and to be stopped.
 */
export function takeInFound(
  found: readonly FoundRun[],
  units: Map<string, Unit>,
  transitions: Transitions,
  deps: EngineDeps,
): readonly FoundRun[] {
  const strays: FoundRun[] = [];
  for (const run of found) {
    if (run.engine === undefined) continue;
    const { workloadId: id, kind } = run.mark;
    const unit = units.get(id);
    if (unit !== undefined && unitsOf(unit).some(({ handle }) => handle?.label === run.label)) continue;
    const record = [...deps.records.all()].find((one) => one.id === id && one.kind === kind);
    if (run.endedAtWallMs !== undefined && !isUnseenEnd(run.endedAtWallMs, record)) continue;
    // Its own launch says what becomes of it.
    if (unit?.phase === "launching") continue;
    if (unit !== undefined && (unit.phase !== "waiting" || unit.kind !== kind)) {
      if (run.endedAtWallMs === undefined) strays.push(run);
      continue;
    }
    const handle = run.adopt();
    if (handle === undefined) continue;
    const target = unit ?? restored(createUnit({ id, kind, sinceWallMs: deps.clock.wallMs() }), record, undefined);
    if (unit === undefined) target.isUnexplained = !deps.isStoredSetWhole || record === undefined;
    target.dueAtMs = undefined;
    units.set(id, target);
    const verb = run.endedAtWallMs === undefined ? "Adopted" : "Found the end of";
    deps.logFor("PID").info(`${verb} ${id} (${run.label})`);
    transitions.takeOver(target, handle, deps.driverOf(kind));
  }
  return strays;
}

/** It ended after it was last known to run, or to be started. What was stopped on purpose has been seen. */
function isUnseenEnd(endedAtWallMs: number, record: RegistryRecord | undefined): boolean {
  const wasRunning = record?.phase === "running" || record?.phase === "starting";
  return wasRunning && endedAtWallMs >= record.sinceMs;
}

interface Running {
  readonly current: FoundRun;
  readonly next: FoundRun | undefined;
}

function byWorkload(found: readonly FoundRun[]): ReadonlyMap<string, Running> {
  const groups = new Map<string, FoundRun[]>();
  for (const run of found) {
    const group = groups.get(run.mark.workloadId) ?? [];
    groups.set(run.mark.workloadId, group);
    group.push(run);
  }
  const running = new Map<string, Running>();
  for (const [id, group] of groups) {
    const [newest, ...older] = group.sort(newestFirst);
    if (newest === undefined) continue;
    const old = older.find(({ mark }) => isEarlierSelf(mark, newest.mark));
    running.set(id, old === undefined ? { current: newest, next: undefined } : { current: old, next: newest });
  }
  return running;
}

function isEarlierSelf(old: ProcessMark, next: ProcessMark): boolean {
  const isApart = (old.lane ?? 0) !== (next.lane ?? 0);
  return isApart && old.kind === next.kind && old.specHash !== next.specHash && old.generation < next.generation;
}

function newestFirst(one: FoundRun, other: FoundRun): number {
  if (one.mark.generation !== other.mark.generation) return other.mark.generation - one.mark.generation;
  return other.order - one.order;
}

/** One record for each workload of which nothing runs: of an update that was under way, the workload's own. */
function memories(records: readonly RegistryRecord[]): Iterable<RegistryRecord> {
  const own = new Map<string, RegistryRecord>();
  for (const record of records) {
    const other = own.get(record.id);
    if (other === undefined || (other.role !== undefined && record.role === undefined)) own.set(record.id, record);
  }
  return own.values();
}

/** What the registry remembers counts only where it speaks of the same launch, or where nothing runs. */
function restored(unit: Unit, record: RegistryRecord | undefined, handle: RunHandle | undefined): Unit {
  if (record === undefined || (handle !== undefined && record.nonce !== handle.mark.nonce)) return unit;
  const { failures, restarts, hasRested } = record;
  unit.restart = { failures, restarts, ...(hasRested === undefined ? {} : { hasRested }) };
  unit.sinceWallMs = record.sinceMs;
  unit.lastExit = record.lastExit;
  unit.holds = record.claims;
  return unit;
}
