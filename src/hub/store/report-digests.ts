import type { Report } from "../../contract/report.ts";

/**
 * Pure. What a report tells that can move a tunnel on: equal texts tell the same. Figures that change with every report are
 * no part of it.
 */
export function tunnelDigest(report: Report | undefined): string {
  if (report === undefined) return "";
  const ends = report.workloads.flatMap(({ id, kind, state, cause, tunnel }) => {
    if (kind !== "tunnel") return [];
    if (tunnel === undefined) return [[id, state, cause]];
    const { phase, reason, minTls, legs, busy, certificates, presents, accepts } = tunnel;
    const hashes = certificates?.map(({ generation, sha256 }) => [generation, sha256]);
    return [[id, state, cause, phase, reason, minTls, legs, busy, hashes, presents, accepts]];
  });
  return JSON.stringify([report.applied, report.omittedWorkloads !== undefined, report.tunnels, ends]);
}

/** Pure. What a report tells that can move a session on, or make room for another. */
export function sessionDigest(report: Report | undefined): string {
  if (report === undefined) return "";
  const sessions = report.workloads.flatMap(({ id, kind, state, cause, session }) => {
    if (kind !== "session") return [];
    if (session === undefined) return [[id, state, cause]];
    const { turn, platform, sleep, endpoints, ended, unclaimed } = session;
    const urls = endpoints?.map(({ url }) => url);
    return [[id, state, cause, turn, platform, sleep?.depth, sleep?.because, urls, ended, unclaimed]];
  });
  // Where it runs none, what it has applied moves nothing on.
  const applied = sessions.length > 0 ? [report.applied, report.omittedWorkloads !== undefined] : [];
  // What an agent refused it may allow once it was started anew.
  const run = report.sessions === undefined ? undefined : report.session;
  return JSON.stringify([report.sessions, run, sessions, applied]);
}
