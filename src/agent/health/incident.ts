/**
 * Incidents: one cause that hits the whole box, as opposed to one workload's fault. Pure.
 *
 * Invariants:
 * - one incident of a kind at a time, and never `dns-lost` beside `uplink-lost`;
 * - one workload that fails alone opens none; one that works closes what only the network can explain;
 * - connections that the other end has ended witness nothing: their next attempts do;
 * - connections that stand or are used again say nothing about names: only a workload that failed for want of one and works
 *   again closes `dns-lost`;
 * - wall time decides only what is about the wall clock.
 */
export const INCIDENT_KINDS = ["uplink-lost", "dns-lost", "disk-full", "clock-not-set"] as const;
export type IncidentKind = (typeof INCIDENT_KINDS)[number];

export interface Incident {
  readonly kind: IncidentKind;
  readonly startMs: number;
  readonly startWallMs: number;
  /** What showed it, in words. */
  readonly cause: string;
}

export interface Failure {
  readonly id: string;
  /** Class of the exit, or cause of the finding. */
  readonly class: string;
  readonly evidence: string | undefined;
  /** Monotonic. */
  readonly atMs: number;
}

export interface IncidentState {
  readonly open: readonly Incident[];
  /** The last one of each workload, within `FAILURE_WINDOW_MS`. */
  readonly failures: readonly Failure[];
  readonly hadDefaultRoute: boolean;
}

export interface IncidentFacts {
  readonly nowMs: number;
  readonly wallMs: number;
  /** Workloads over a network whose media flows now, with no finding. */
  readonly healthy: readonly string[];
  readonly link: {
    readonly isOff: boolean;
    readonly isLive: boolean;
    /** Since the last byte of the server; undefined when none ever came. */
    readonly silentMs: number | undefined;
    readonly reason: string | undefined;
  };
  /** Undefined where the kernel does not tell. */
  readonly hasDefaultRoute: boolean | undefined;
  readonly disk: { readonly durable: boolean; readonly reason?: string };
}

export interface IncidentChange {
  readonly kind: "opened" | "closed";
  readonly incident: Incident;
}

export const NO_INCIDENTS: IncidentState = { open: [], failures: [], hadDefaultRoute: false };

/** Longer than the longest wait between two starts. */
const FAILURE_WINDOW_MS = 90_000;
/** A server that beats every 15 s has been heard within this time. */
const LINK_SILENT_MS = 20_000;
/** The release is younger than any box that runs it. */
const RELEASE_YEAR = 2026;
const NETWORK_CLASSES: ReadonlySet<string> = new Set([
  "network",
  "network-lost",
  "connecting-timeout",
  "source-stalled",
  "peer-stalled",
]);
/**
 * The other end answered, by hanging up: a server that restarts does it to all at once. What comes of the next attempt says more: with the
 * uplink gone that gets no answer.
 */
const HUNG_UP = /Connection reset|Broken pipe|End of file/i;
const RESOLVER_FAILURE = /Temporary failure in name resolution|EAI_AGAIN/;
const DISK_REASON = /ENOSPC|EDQUOT|EROFS/;

/** A workload has failed: kept as a witness. */
export function witnessFailure(state: IncidentState, failure: Failure): IncidentState {
  return { ...state, failures: [...state.failures.filter(({ id }) => id !== failure.id), failure] };
}

export function observeIncidents(
  before: IncidentState,
  facts: IncidentFacts,
): { readonly state: IncidentState; readonly changes: readonly IncidentChange[] } {
  const recent = before.failures.filter(({ atMs }) => facts.nowMs - atMs < FAILURE_WINDOW_MS);
  const hadDefaultRoute = before.hadDefaultRoute || facts.hasDefaultRoute === true;
  const closed = before.open.filter((incident) =>
    isOver(incident, { ...before, failures: recent, hadDefaultRoute }, facts),
  );
  const still = before.open.filter((incident) => !closed.includes(incident));
  // What an incident explained is no witness for the next one.
  const failures = recent.filter(({ class: kind }) => !closed.some((incident) => explains(incident.kind, kind)));
  const opened = causesNow({ ...before, failures, hadDefaultRoute }, facts)
    .filter(
      ({ kind }) => !still.some((incident) => incident.kind === kind || (isNetwork(kind) && isNetwork(incident.kind))),
    )
    .map((found): Incident => ({ ...found, startMs: facts.nowMs, startWallMs: facts.wallMs }));
  return {
    state: { open: [...still, ...opened], failures, hadDefaultRoute },
    changes: [
      ...closed.map((incident) => ({ kind: "closed" as const, incident })),
      ...opened.map((incident) => ({ kind: "opened" as const, incident })),
    ],
  };
}

/** Whether a failure of this class is the incident's fault and not the workload's. */
export function explains(kind: IncidentKind, failureClass: string): boolean {
  if (isNetwork(kind)) return NETWORK_CLASSES.has(failureClass);
  return kind === "disk-full" && (failureClass === "disk-full" || failureClass === "storage");
}

function isNetwork(kind: IncidentKind): boolean {
  return kind === "uplink-lost" || kind === "dns-lost";
}

type Cause = Pick<Incident, "kind" | "cause">;

function causesNow(state: IncidentState, facts: IncidentFacts): readonly Cause[] {
  return [networkCause(state, facts), diskCause(state, facts), clockCause(facts)].flatMap((cause) => cause ?? []);
}

function networkCause({ failures, hadDefaultRoute }: IncidentState, facts: IncidentFacts): Cause | undefined {
  const { link, hasDefaultRoute, healthy } = facts;
  const isUplinkProved = isLinkHeard(facts) || healthy.length > 0;
  const failing = failures.filter(
    ({ id, class: kind, evidence = "" }) =>
      NETWORK_CLASSES.has(kind) && !healthy.includes(id) && !HUNG_UP.test(evidence),
  );
  const unresolved = failing.filter(({ evidence }) => isUnresolved(evidence));
  // Where nothing gets through, names cannot be resolved either: that alone is the uplink's fault.
  const isLinkUnresolved = !link.isLive && isUnresolved(link.reason);
  const isOfNames = isUplinkProved || unresolved.length === failing.length;
  if (unresolved.length >= 1 && isOfNames && unresolved.length + Number(isLinkUnresolved) >= 2) {
    return { kind: "dns-lost", cause: `names cannot be resolved (${countOf(unresolved)})` };
  }
  if (isUplinkProved) return undefined;
  if (failing.length >= 2) {
    const server = link.isOff ? "" : ", and the server is not heard";
    return { kind: "uplink-lost", cause: `${countOf(failing)} fail at once, none works${server}` };
  }
  if (hadDefaultRoute && hasDefaultRoute === false && !link.isOff) {
    return { kind: "uplink-lost", cause: "the default route is gone, and the server is not heard" };
  }
  return undefined;
}

/** Somebody whose name could not be resolved is at work now, or there is nobody left who fails. */
function areNamesBack({ failures }: IncidentState, { healthy }: IncidentFacts): boolean {
  const unresolved = failures.filter(({ evidence }) => isUnresolved(evidence));
  return unresolved.length === 0 || unresolved.some(({ id }) => healthy.includes(id));
}

function isUnresolved(text: string | undefined): boolean {
  return text !== undefined && RESOLVER_FAILURE.test(text);
}

function isLinkHeard({ link }: IncidentFacts): boolean {
  return !link.isOff && link.isLive && link.silentMs !== undefined && link.silentMs < LINK_SILENT_MS;
}

function diskCause({ failures }: IncidentState, { disk }: IncidentFacts): Cause | undefined {
  if (!disk.durable && disk.reason !== undefined && DISK_REASON.test(disk.reason)) {
    return { kind: "disk-full", cause: `the state cannot be written (${disk.reason})` };
  }
  const full = failures.filter(({ class: kind }) => explains("disk-full", kind));
  return full.length === 0 ? undefined : { kind: "disk-full", cause: `${countOf(full)} cannot be written` };
}

function clockCause({ wallMs }: IncidentFacts): Cause | undefined {
  const year = new Date(wallMs).getUTCFullYear();
  if (year >= RELEASE_YEAR) return undefined;
  return { kind: "clock-not-set", cause: `the clock says ${year}: certificates and times cannot be trusted` };
}

function isOver({ kind }: Incident, state: IncidentState, facts: IncidentFacts): boolean {
  switch (kind) {
    case "dns-lost":
      return areNamesBack(state, facts);
    case "uplink-lost":
      // With nobody left who could fail or work there is nothing to wait for, unless the route is still away.
      return (
        facts.healthy.length > 0 ||
        isLinkHeard(facts) ||
        (facts.hasDefaultRoute !== false && !state.failures.some(({ class: name }) => NETWORK_CLASSES.has(name)))
      );
    case "disk-full":
      return diskCause(state, facts) === undefined;
    case "clock-not-set":
      return clockCause(facts) === undefined;
  }
}

function countOf(failures: readonly Failure[]): string {
  return `${failures.length} ${failures.length === 1 ? "stream" : "streams"}`;
}
