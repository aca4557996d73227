import type { HealthCause } from "../../contract/health-cause.ts";
import type { AgentStatus, Explanation, WorkloadStatus } from "../../contract/local-status.ts";
import type { Workload, WorkloadState } from "../../contract/workload.ts";
import { ratesOf } from "../health/media-health.ts";
import type { Refusal, WorkloadDriver } from "../workload/driver.ts";
import type { Blocked } from "./allocate.ts";
import { blockedText, whatOf } from "./blocked-text.ts";
import { restText, whatSessionDoes } from "./describe-session.ts";
import { updateOf, updateTrouble } from "./describe-update.ts";
import type { Rest } from "./rest.ts";
import { exitText } from "./transitions.ts";
import type { Unit } from "./unit.ts";

/** What is known of one workload, from both sides. */
export interface WorkloadView {
  readonly id: string;
  readonly workload: Workload | undefined;
  readonly unit: Unit | undefined;
  readonly refusal: Refusal | undefined;
  readonly blocked: Blocked | undefined;
  readonly driver: WorkloadDriver | undefined;
  readonly usage: { readonly cpuPercent: number; readonly rssBytes: number } | undefined;
  /** Its ledger; only the last of its gaps where there are many. */
  readonly proof: WorkloadStatus["proof"];
  /** What its keeper tells of it, where it is a tunnel's end. */
  readonly tunnel: WorkloadStatus["tunnel"];
  /** The same of a session. */
  readonly session: WorkloadStatus["session"];
  /** Of a stream whose finished recordings move. */
  readonly segments: WorkloadStatus["segments"];
  /** It is expected, and not to run at the moment. */
  readonly rest: Rest | undefined;
  /** The resource guard keeps it from running, or from recording. */
  readonly held: WorkloadStatus["held"];
  readonly share: Pick<WorkloadStatus, "priority" | "limits">;
  /** What hits the whole box at the moment. */
  readonly incidents: AgentStatus["incidents"];
  readonly nowMs: number;
  readonly nowWallMs: number;
}

export type StateView = Pick<WorkloadView, "unit" | "refusal" | "blocked" | "rest" | "session">;

export function stateOf({ unit, refusal, blocked, rest, session }: StateView): WorkloadState {
  // Before its keeper has noted how deep it sleeps, it is on its way.
  const isFallingAsleep = rest === "hibernated" && session !== undefined && session.sleep === undefined;
  if (unit === undefined)
    return refusal === undefined ? ((isFallingAsleep ? undefined : rest) ?? "waiting") : "refused";
  switch (unit.phase) {
    case "waiting":
      return isFallingAsleep ? "stopping" : (rest ?? "waiting");
    case "stopping":
    case "unkillable":
      return unit.phase;
    case "launching":
      return "starting";
    case "running":
      if (session?.sleep?.depth === "frozen") return "hibernated";
      if (unit.finding !== undefined) return unit.finding.needsRestart ? "stalled" : "degraded";
      if (!unit.health.hasMoved) return "starting";
      return updateTrouble(unit, blocked) === undefined ? "running" : "degraded";
  }
}

export function toWorkloadStatus(view: WorkloadView): WorkloadStatus {
  const { unit, workload } = view;
  const fault = isHeldBack(view) || isResting(view) ? undefined : faultOf(unit);
  const { blocked } = view;
  const trouble = view.refusal?.message ?? view.held?.reason ?? waitCause(view);
  const cause = restCause(view) ?? unit?.finding?.message ?? trouble ?? unit?.cause;
  const update = updateOf(unit, blocked, view.nowMs);
  return {
    id: view.id,
    kind: unit?.kind ?? workload?.kind ?? "unknown",
    ...(workload?.name === undefined ? {} : { name: workload.name }),
    description: workload === undefined ? "not expected" : (view.driver?.describe(workload) ?? workload.kind),
    state: stateOf(view),
    ...(cause === undefined ? {} : { cause }),
    ...(fault === undefined ? {} : { fault }),
    ...(unit?.handle?.identity === undefined ? {} : { pid: unit.handle.identity.pid }),
    generation: unit?.generation ?? 0,
    restarts: unit?.restart.restarts ?? 0,
    since: toIso(unit?.sinceWallMs ?? view.nowWallMs),
    ...(unit?.phase === "waiting" && unit.dueAtMs !== undefined && !isHeldBack(view) && view.rest === undefined
      ? { nextStartInSeconds: Math.max(0, (unit.dueAtMs - view.nowMs) / 1000) }
      : {}),
    ...(unit?.lastExit === undefined ? {} : { lastExit: toLastExit(unit.lastExit) }),
    ...(unit?.phase === "running" && hasMedia(view) ? { media: toMedia(unit) } : {}),
    ...(update === undefined ? {} : { update }),
    ...(blocked === undefined ? {} : { waitsFor: { what: whatOf(blocked), holder: blocked.holder } }),
    ...(view.tunnel === undefined ? {} : { tunnel: view.tunnel }),
    ...(view.session === undefined ? {} : { session: view.session }),
    ...(view.segments === undefined ? {} : { segments: view.segments }),
    ...(view.proof === undefined ? {} : { proof: view.proof }),
    ...(view.usage ?? {}),
    ...view.share,
    ...(view.held === undefined ? {} : { held: view.held }),
  };
}

function hasMedia({ driver }: WorkloadView): boolean {
  return driver?.healthOf === undefined;
}

/** It waits for room, not for its next turn. */
function isHeldBack({ held, unit }: WorkloadView): boolean {
  return held !== undefined && held.by !== "disk-partly" && unit?.handle === undefined;
}

/** It is where it should be: asleep, or at its end. */
function isResting({ rest, unit, session }: WorkloadView): boolean {
  return (rest !== undefined && unit?.handle === undefined) || session?.sleep?.depth === "frozen";
}

function restCause(view: WorkloadView): string | undefined {
  return isResting(view) && view.session !== undefined ? restText(view.session) : undefined;
}

function waitCause({ id, unit, blocked }: WorkloadView): string | undefined {
  if (unit?.handle !== undefined) return unit.phase === "running" ? updateTrouble(unit, blocked) : undefined;
  return blocked === undefined ? undefined : blockedText(id, blocked);
}

function faultOf(unit: Unit | undefined): HealthCause | undefined {
  if (unit === undefined) return undefined;
  if (unit.phase === "unkillable") return "unkillable";
  if (unit.phase === "waiting" && unit.lastExit !== undefined) return "exited";
  return unit.finding?.cause;
}

function toLastExit(exit: NonNullable<Unit["lastExit"]>): NonNullable<WorkloadStatus["lastExit"]> {
  const { atMs, ...rest } = exit;
  return {
    at: toIso(atMs),
    code: rest.code,
    signal: rest.signal,
    class: rest.class,
    ...(rest.evidence === undefined ? {} : { evidence: rest.evidence }),
  };
}

function toMedia(unit: Unit): NonNullable<WorkloadStatus["media"]> {
  const rates = ratesOf(unit.health.window);
  const last = unit.health.window.at(-1)?.sample;
  return defined({
    fps: rounded(rates.fps, 1),
    bitrateKbit: rounded(rates.bitrateKbit, 0),
    speed: rounded(rates.speed, 2),
    outTimeSeconds: last?.outTimeUs === undefined ? undefined : rounded(last.outTimeUs / 1_000_000, 1),
    totalBytes: last?.totalBytes,
    frames: last?.frames,
    droppedFrames: last?.droppedFrames,
  });
}

const UNDECIDED =
  "It was found running and nothing on disk says what for: it is kept until the server has named the whole set.";

/** Why a workload is in its state, in the order in which a person asks. */
export function explain(view: WorkloadView, source: string): Explanation {
  const { unit, workload, refusal } = view;
  const because: string[] = [];
  if (workload === undefined) because.push(unit?.isUnexplained === true ? UNDECIDED : "Nothing expects it.");
  else because.push(`Expected by ${source}: ${view.driver?.describe(workload) ?? workload.kind}.`);
  if (view.session !== undefined) because.push(...whatSessionDoes(view.session));
  if (refusal !== undefined) because.push(`Refused by ${refusal.rule} on this box: ${refusal.message}.`);
  if (unit === undefined) because.push("Nothing of it runs.");
  else because.push(...whatRuns(unit, view), ...whatEnded(unit), ...whatIsNext(unit, view));
  because.push(...whatHolds(view));
  because.push(...whatIsUpdated(view));
  because.push(...whatWasProved(view), ...view.incidents.map(incidentText));
  if (workload === undefined && unit === undefined) return { id: view.id, because };
  return { id: view.id, status: toWorkloadStatus(view), because };
}

function whatRuns(unit: Unit, view: WorkloadView): string[] {
  const { handle, finding } = unit;
  if (handle === undefined) return unit.cause === undefined ? [] : [`Not running: ${unit.cause}.`];
  const { identity, label } = handle;
  const how = handle.isAdopted ? "adopted from an earlier agent" : "started by this agent";
  const lines = [
    `${label.charAt(0).toUpperCase()}${label.slice(1)} runs generation ${unit.generation} (${how}; proved by ${identity === undefined ? "" : `start tick ${identity.startTicks} and `}its mark).`,
  ];
  if (finding !== undefined) lines.push(`Health: ${finding.cause}: ${finding.message}.`);
  else if (!hasMedia(view)) lines.push(...whatTunnelDoes(view.tunnel));
  else if (!unit.health.hasMoved) lines.push("No media yet.");
  else lines.push(`Media flows: ${ratesText(unit)}.`);
  if (unit.phase === "stopping" && unit.cause !== undefined) lines.push(`It is being stopped: ${unit.cause}.`);
  return lines;
}

function whatTunnelDoes(tunnel: WorkloadStatus["tunnel"]): string[] {
  if (tunnel === undefined) return [];
  const { phase, reason, proof, latencyMs, connections } = tunnel;
  const lines = [`It is ${phase}${reason === undefined ? "" : `: ${reason}`}.`];
  if (proof !== undefined) {
    const refused = proof.attacks.filter(({ isRefused }) => isRefused).map(({ attack }) => attack);
    const cipher = proof.cipher === undefined ? "" : `, ${proof.protocol} with ${proof.cipher}`;
    lines.push(`Last proof: ${proof.at}${cipher}; refused: ${refused.join(", ") || "nothing"}.`);
  }
  if (latencyMs !== undefined) lines.push(`The last handshake with its peer took ${latencyMs.toFixed(1)} ms.`);
  if (connections !== undefined) lines.push(`Open connections: ${connections}.`);
  return lines;
}

function whatEnded(unit: Unit): string[] {
  if (unit.lastExit === undefined) return [];
  const { atMs, evidence } = unit.lastExit;
  return [
    `Last end: ${toIso(atMs)}, ${exitText(unit.lastExit)}, ${unit.lastExit.class}${evidence === undefined ? "" : `: ${evidence}`}.`,
  ];
}

function whatIsNext(unit: Unit, view: WorkloadView): string[] {
  if (unit.phase !== "waiting" || unit.dueAtMs === undefined || view.workload === undefined) return [];
  if (isHeldBack(view) || isResting(view)) return [];
  const seconds = Math.max(0, (unit.dueAtMs - view.nowMs) / 1000);
  return [`Next start in ${seconds.toFixed(1)} s (after ${unit.restart.failures} failures in a row).`];
}

function whatHolds({ held, share }: WorkloadView): string[] {
  const lines: string[] = [];
  if (held !== undefined) {
    lines.push(`The resource guard holds it (${held.by}): ${held.reason}. It goes on by itself when there is room.`);
  }
  const { limits, priority } = share;
  if (limits !== undefined) {
    const memory =
      limits.memoryBytes === undefined ? [] : [`${Math.round(limits.memoryBytes / 2 ** 20)} MiB of memory`];
    const cpu = limits.cpuCores === undefined ? [] : [`${limits.cpuCores} cores`];
    const keeper = limits.by === "cgroup" ? "the kernel sees to that" : "the agent measures it";
    lines.push(`It may use ${[...memory, ...cpu].join(" and ")} (${keeper}); its priority is ${priority}.`);
  }
  return lines;
}

function whatIsUpdated({ id, unit, blocked, nowMs }: WorkloadView): string[] {
  const update = updateOf(unit, blocked, nowMs);
  if (update === undefined) return blocked === undefined ? [] : [`It waits: ${blockedText(id, blocked)}.`];
  const next = update.nextTryInSeconds;
  const goesOn = update.state === "failed" || update.state === "waiting" ? " The old settings stay in force." : "";
  return [`Update: ${update.message}.${goesOn}${next === undefined ? "" : ` Next attempt in ${next.toFixed(1)} s.`}`];
}

function whatWasProved(view: WorkloadView): string[] {
  const { proof } = view;
  const what = hasMedia(view) ? "Media" : "Its work";
  if (proof === undefined) return [];
  const { percent, expectedSeconds, gapCount, gaps } = proof;
  const share = `${what} was proved for ${percent.toFixed(2)} % of ${formatSpan(expectedSeconds)}`;
  const last = gaps.at(-1);
  if (last === undefined) return [`${share}, without a gap.`];
  const lasting = last.end === undefined ? "still open" : `${last.seconds} s`;
  const count = gapCount === 1 ? "1 gap" : `${gapCount} gaps, the last`;
  return [`${share}, ${count} at ${last.start} (${lasting}, ${last.cause}).`];
}

function incidentText({ kind, cause, start }: AgentStatus["incidents"][number]): string {
  return `The whole box is hit by ${kind} since ${start}: ${cause}. Failures do not count meanwhile, and starts take turns.`;
}

/** `40 s`, `12 min`, `12 h`, `9 d`. */
function formatSpan(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

function ratesText(unit: Unit): string {
  const { fps, bitrateKbit, speed } = ratesOf(unit.health.window);
  const parts = [
    fps === undefined ? undefined : `${fps.toFixed(1)} frames/s`,
    bitrateKbit === undefined ? undefined : `${Math.round(bitrateKbit)} kbit/s`,
    speed === undefined ? undefined : `speed ${speed.toFixed(2)}`,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? "rates are known after a few seconds" : parts.join(", ");
}

export function toIso(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

function rounded(value: number | undefined, digits: number): number | undefined {
  return value === undefined ? undefined : Number(value.toFixed(digits));
}

function defined<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
