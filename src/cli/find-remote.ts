import type { HubClient } from "../client/hub-client.ts";
import type { RemoteView } from "../contract/fleet/remote.ts";
import { notOne, orNothing } from "./find-box.ts";
import { collect } from "./output.ts";
import { resolveName } from "./resolve-name.ts";

/** The remote session that was meant: its id, or the beginning or a part of it where that is one session's. */
export async function findRemote(hub: HubClient, given: string, signal: AbortSignal): Promise<RemoteView> {
  const exact = await hub.remote.get(given, signal).catch(orNothing);
  if (exact !== undefined) return exact;
  const remotes = await collect(hub.remote.list({}, signal));
  const resolution = resolveName(
    given,
    remotes.map((remote) => ({ id: remote.id, name: undefined, remote })),
  );
  if (resolution.kind === "found") return resolution.item.remote;
  const candidates = resolution.kind === "several" ? resolution.candidates : [];
  throw notOne("remote session", given, candidates, "sluice remote ls shows all");
}
