import type { SessionStatus } from "../../contract/session-status.ts";

/** Why a session does not run although nothing is wrong, in one line; undefined while it is to run. */
export function restText({ sleep, ended }: SessionStatus): string | undefined {
  if (ended !== undefined) return `it has ended: ${ended.reason}`;
  if (sleep === undefined) return undefined;
  const why = sleep.because === "idle" ? "nothing used it" : "it was asked to";
  return `it sleeps (${sleep.depth}), because ${why}`;
}

/** Of a session, in sentences. */
export function whatSessionDoes(session: SessionStatus): string[] {
  const { sleep, ended, endpoints = [], idle, endsAt, openConnections, wakeMs = {} } = session;
  const rest = restText(session);
  const since = ended?.at ?? sleep?.since;
  const held = sleep?.memoryBytes === undefined ? "" : `; it holds ${Math.round(sleep.memoryBytes / 2 ** 20)} MiB`;
  const wakes = Object.entries(wakeMs).map(([depth, ms]) => `${ms} ms from ${depth}`);
  return [
    ...(rest === undefined ? [] : [`${rest.charAt(0).toUpperCase()}${rest.slice(1)}, since ${since}${held}.`]),
    ...endpoints.map(({ name, url }) => `Port ${name} is at ${url}.`),
    ...(openConnections === undefined ? [] : [`Open connections: ${openConnections}.`]),
    ...(idle === undefined
      ? []
      : [
          `Last used at ${idle.lastActivity.at} (${idle.lastActivity.source}); unused until ${idle.hibernatesAt} it hibernates.`,
        ]),
    ...(endsAt === undefined || ended !== undefined ? [] : [`Its time ends at ${endsAt}.`]),
    ...(wakes.length === 0 ? [] : [`Its last wakes took ${wakes.join(", ")}.`]),
  ];
}
