import type { HubClient } from "../client/hub-client.ts";
import type { SessionView } from "../contract/fleet/session.ts";
import { sessionIdSchema } from "../contract/session-spec.ts";
import { notOne, orNothing } from "./find-box.ts";
import { collect } from "./output.ts";
import { resolveName } from "./resolve-name.ts";

/** The session that a person means. Rejects with `not-found` or, with the candidates, `invalid`. */
export async function findSession(hub: HubClient, given: string, signal: AbortSignal): Promise<SessionView> {
  // A whole id is the usual case, and one request is cheaper than a search.
  if (sessionIdSchema.safeParse(given).success) {
    const exact = await hub.sessions.get(given, signal).catch(orNothing);
    if (exact !== undefined) return exact;
  }
  const resolution = resolveName(given, await collect(hub.sessions.list({}, signal)));
  if (resolution.kind === "found") return resolution.item;
  const candidates = resolution.kind === "several" ? resolution.candidates : [];
  throw notOne("session", given, candidates, "sluice session ls shows all");
}
