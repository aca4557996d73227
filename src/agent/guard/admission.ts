/**
 * Which starts there is room for. Pure.
 *
 * Invariants:
 * - what runs is never touched, and what ran before (a restart) is never held back;
 * - the more important starts first;
 * - what was let in a moment ago counts with what it will probably use, because the measurement cannot show it yet.
 */
export interface StartRequest {
  readonly id: string;
  /** It has not run since it was asked for. */
  readonly isNew: boolean;
  readonly priority: number;
  /** What it will probably use. */
  readonly costCores: number;
}

export interface AdmissionFacts {
  readonly nowMs: number;
  /** 0: everything is let in. */
  readonly limitPercent: number;
  /** Over the last seconds; undefined while nobody knows, which holds nobody back. */
  readonly cpuPercent: number | undefined;
  readonly cores: number;
}

/** What was let in and cannot be seen in the measurement yet. */
export type Reservations = readonly { readonly atMs: number; readonly cores: number }[];

export interface Admission {
  /** Ids in the order in which they start. */
  readonly admitted: readonly string[];
  /** By id: why it must wait. */
  readonly held: ReadonlyMap<string, string>;
  readonly reservations: Reservations;
}

/** As long as the measurement looks back. */
const RESERVED_MS = 10_000;

export function admitStarts(
  before: Reservations,
  requests: readonly StartRequest[],
  { nowMs, limitPercent, cpuPercent, cores }: AdmissionFacts,
): Admission {
  const ordered = [...requests].sort(byImportance);
  if (limitPercent === 0) return { admitted: ordered.map(({ id }) => id), held: new Map(), reservations: [] };
  const reservations = before.filter(({ atMs }) => nowMs - atMs < RESERVED_MS);
  let busyCores = ((cpuPercent ?? 0) / 100) * cores + reservations.reduce((sum, one) => sum + one.cores, 0);
  const admitted: string[] = [];
  const held = new Map<string, string>();
  for (const { id, isNew, costCores } of ordered) {
    if (isNew && busyCores >= (limitPercent / 100) * cores) {
      held.set(id, reasonOf(cpuPercent, limitPercent));
      continue;
    }
    admitted.push(id);
    busyCores += costCores;
    reservations.push({ atMs: nowMs, cores: costCores });
  }
  return { admitted, held, reservations };
}

/** Whether a new workload would be let in now. */
export function hasRoom(reservations: Reservations, facts: AdmissionFacts): boolean {
  const request = { id: "", isNew: true, priority: 0, costCores: 0 };
  return admitStarts(reservations, [request], facts).held.size === 0;
}

function byImportance(left: StartRequest, right: StartRequest): number {
  if (left.isNew !== right.isNew) return left.isNew ? 1 : -1;
  return right.priority - left.priority || (left.id < right.id ? -1 : 1);
}

function reasonOf(cpuPercent: number | undefined, limitPercent: number): string {
  const busy =
    cpuPercent === undefined || cpuPercent < limitPercent
      ? "others have just started"
      : `${Math.round(cpuPercent)} % are in use`;
  return `no room on the processors: ${busy}, and new streams start below ${limitPercent} %`;
}
