import type { CleanupResult, CleanupWish } from "../../contract/local-status.ts";
import type { Reconciler } from "../reconcile/reconciler.ts";
import { type Unit, unitsOf } from "../reconcile/unit.ts";
import type { RunHandle } from "../runtime/run-handle.ts";
import { type KeptMark, type StartMarks, startOf } from "./start-marks.ts";

export interface CleanupWithAgentDeps {
  readonly reconciler: Pick<Reconciler, "end" | "sweepStrays" | "units">;
  readonly marks: StartMarks;
  readonly isExpected: (workloadId: string) => boolean;
  /** Of this agent's own process. */
  readonly startTicks: number;
}

type CleanedProcess = CleanupResult["processes"][number];

/**
 * Ends what the wish means, each by the ladder of its kind: asked first, then waited for, then killed. What is expected is
 * started anew by the next lap. Nothing is touched that does not prove to be ours.
 */
export async function cleanupWithAgent(deps: CleanupWithAgentDeps, wish: CleanupWish): Promise<CleanupResult> {
  const { reconciler, marks } = deps;
  const { dryRun, scope, tunnel } = wish;
  const known = await marks.list();
  const isOfTunnel = createTunnelFilter(tunnel, known);
  const strays = await reconciler.sweepStrays({ dryRun, isMeant: isOfTunnel });
  const isMeant = (unit: Unit) => {
    const { handle } = unit;
    if (handle === undefined || !isOfTunnel(handle.mark)) return false;
    if (scope === "strays") return false;
    return scope === "all" || handle.isAdopted;
  };
  const running = [...reconciler.units().values()].flatMap(unitsOf).flatMap((unit) => processOf(unit));
  const meant = running.filter(({ unit }) => isMeant(unit));
  const stuck = dryRun || meant.length === 0 ? new Set<Unit>() : await reconciler.end(isMeant);
  const ended = meant.map(({ unit, entry, handle }): CleanedProcess => {
    const start = startOfRun(handle, known);
    const from = start === undefined ? "" : `its start is marked by ${start.name}; `;
    const next = deps.isExpected(unit.id) ? "it is expected, so it is started anew" : "nothing expects it";
    if (stuck.has(unit)) return { ...entry, outcome: "unkillable", reason: "it survived SIGKILL; the kernel holds it" };
    return { ...entry, outcome: dryRun ? "would-stop" : "stopped", reason: `${from}${next}` };
  });
  const kept = running.filter(({ unit }) => !meant.some((one) => one.unit === unit));
  const removed = dryRun || scope === "strays" ? [] : await pruneMarks(deps, known, isOfTunnel);
  return {
    processes: [
      ...kept.map(({ unit, entry }): CleanedProcess => ({ ...entry, outcome: "kept", reason: keptBecause(unit) })),
      ...ended,
      ...strays.map(
        ({ found, outcome }): CleanedProcess => ({
          ...processOfRun(found),
          workloadId: found.mark.workloadId,
          generation: found.mark.generation,
          outcome: outcome === "gone" ? "stopped" : outcome,
          reason: "it carries our mark and belongs to no workload that runs",
        }),
      ),
    ],
    marksRemoved: removed.length,
  };
}

/** Whether a process is of the tunnel, by the mark of its start or by the id that a hub gives its ends. */
export function createTunnelFilter(
  uid: string | undefined,
  marks: readonly KeptMark[],
): (mark: { readonly kind: string; readonly workloadId: string; readonly nonce: string }) => boolean {
  if (uid === undefined) return () => true;
  return ({ kind, workloadId, nonce }) => {
    if (kind !== "tunnel") return false;
    const start = marks.find((mark) => mark.nonce === nonce);
    return start?.uid === uid || workloadId === `${uid}.producer` || workloadId === `${uid}.consumer`;
  };
}

function processOf(unit: Unit) {
  const { handle, id, generation } = unit;
  return handle === undefined ? [] : [{ unit, handle, entry: { ...processOfRun(handle), workloadId: id, generation } }];
}

function processOfRun({ identity, label }: Pick<RunHandle, "identity" | "label">): { pid: number } | { label: string } {
  return identity === undefined ? { label } : { pid: identity.pid };
}

/** Only processes have marks on disk. */
function startOfRun({ identity, mark }: RunHandle, known: readonly KeptMark[]): KeptMark | undefined {
  return identity === undefined ? undefined : startOf({ identity, mark }, known);
}

function keptBecause({ phase, isUnexplained, role }: Unit): string {
  const undecided = isUnexplained ? "the server has not said yet whether it is expected" : "it is expected";
  const wanted = role === "successor" ? "it is to take over once its media is proved" : undecided;
  return phase === "stopping" ? "it is being stopped" : wanted;
}

/** The marks of starts of which nothing is left, this agent's own excepted. */
async function pruneMarks(
  { reconciler, marks, startTicks }: CleanupWithAgentDeps,
  known: readonly KeptMark[],
  isOfTunnel: ReturnType<typeof createTunnelFilter>,
): Promise<readonly string[]> {
  const live = [...reconciler.units().values()].flatMap(unitsOf).flatMap(({ handle }) => handle ?? []);
  const inUse = new Set(live.map((handle) => startOfRun(handle, known)?.name));
  const gone = known.filter(({ kind, id, nonce = "", name, ...mark }) => {
    if (inUse.has(name)) return false;
    if (kind === "agent") return mark.startTicks !== startTicks && isOfTunnel({ kind, workloadId: id, nonce });
    return isOfTunnel({ kind, workloadId: id, nonce });
  });
  await marks.remove(gone.map(({ name }) => name));
  return gone.map(({ name }) => name);
}
