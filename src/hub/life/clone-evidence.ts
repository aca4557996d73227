/** Signs that two machines use one identity. Times are of the monotonic clock. */
export interface CloneEvidence {
  /** Reports of an agent process that another one had followed. */
  readonly late: readonly LateReport[];
  /** When a connection of the box closed another one of it. */
  readonly takeovers: readonly number[];
}

export interface LateReport {
  readonly atMs: number;
  readonly session: string;
  readonly sequence: number;
}

export const NO_EVIDENCE: CloneEvidence = { late: [], takeovers: [] };

const WINDOW_MS = 120_000;
/** A report that was on its way while its agent was replaced comes within this of the others. */
const ALIVE_MS = 3000;
const TAKEOVERS = 4;

/** Pure. */
export function withLateReport(held: CloneEvidence, report: LateReport): CloneEvidence {
  return recent({ ...held, late: [...held.late, report] }, report.atMs);
}

/** Pure. */
export function withTakeover(held: CloneEvidence, atMs: number): CloneEvidence {
  return recent({ ...held, takeovers: [...held.takeovers, atMs] }, atMs);
}

/**
 * Pure. Why two machines must be at work, or `undefined`. One late report proves nothing, and neither do connections that replace
 * each other: a box that changes its network does that. An agent process that goes on counting after it was followed by
 * another one lives.
 */
export function judgeClone({ late, takeovers }: CloneEvidence): string | undefined {
  for (const one of late) {
    const isAlive = late.some(
      (other) => other.session === one.session && other.sequence > one.sequence && other.atMs - one.atMs >= ALIVE_MS,
    );
    if (isAlive) return `two agents report in turn with one identity (sessions ${short(one.session)} and a later one)`;
  }
  if (late.length > 0 && takeovers.length >= TAKEOVERS) {
    return `two agents take the connection from each other (${takeovers.length} times in ${WINDOW_MS / 1000} s)`;
  }
  return undefined;
}

function recent({ late, takeovers }: CloneEvidence, nowMs: number): CloneEvidence {
  return {
    late: late.filter(({ atMs }) => atMs > nowMs - WINDOW_MS).slice(-20),
    takeovers: takeovers.filter((atMs) => atMs > nowMs - WINDOW_MS).slice(-20),
  };
}

function short(session: string): string {
  return session.slice(0, 8);
}
