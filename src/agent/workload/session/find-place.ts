import { AppError } from "../../../base/errors.ts";
import type { DeclaredPort } from "../../../contract/remote/operation.ts";
import type { SessionPort } from "../../../contract/session-spec.ts";
import type { SessionPlace } from "../../../contract/session-status.ts";
import type { SessionWorkload } from "../../../contract/workload.ts";
import type { SessionRun } from "../../runtime/run-handle.ts";
import { reachableFromHere } from "./session-endpoints.ts";
import type { SessionWish } from "./session-wish.ts";

export interface PlaceFacts {
  readonly workload: SessionWorkload | undefined;
  readonly wish: SessionWish["state"];
  readonly run: Pick<SessionRun, "endpoints"> | undefined;
  /** That very run has been seen to work. */
  readonly isReady: boolean;
}

/**
 * Where this box reaches a declared port of a session now. What is not proved to be the session's own is never told: the port of one
 * that sleeps may be another's by then. Rejects with `not-found`, `conflict` (it sleeps, or has ended) or `unavailable`.
 */
export async function findPlace(id: string, wanted: DeclaredPort, facts: PlaceFacts): Promise<SessionPlace> {
  const { workload, wish, run, isReady } = facts;
  if (workload === undefined) throw new AppError("not-found", `no session ${id} is on this box`);
  const { ports = [] } = workload.spec.template;
  const isWanted = ({ port, protocol = "tcp" }: Pick<SessionPort, "port" | "protocol">) =>
    port === wanted.port && protocol === wanted.protocol;
  if (!ports.some(isWanted)) {
    const declared = ports.map(({ port, protocol = "tcp" }) => `${port}/${protocol}`).join(", ") || "none";
    throw new AppError("not-found", `session ${id}: given ${wanted.port}/${wanted.protocol}; declared: ${declared}`);
  }
  if (wish === "asleep") throw new AppError("conflict", `session ${id} sleeps`);
  if (wish === "ended") throw new AppError("conflict", `session ${id} has ended`);
  const found = isReady ? (await run?.endpoints())?.find(isWanted) : undefined;
  if (found === undefined) throw new AppError("unavailable", `session ${id} is on its way, and does not answer yet`);
  return { address: reachableFromHere(found.address), port: found.hostPort };
}
