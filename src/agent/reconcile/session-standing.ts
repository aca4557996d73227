import { maskWorkload } from "../../contract/mask-workload.ts";
import type { SessionStatus } from "../../contract/session-status.ts";
import type { Workload } from "../../contract/workload.ts";
import type { CommandedState } from "./commanded.ts";
import type { ExpectedState } from "./expected.ts";

/** What is told of a session with who expects it, where that is not simply the server's set. Secrets masked. */
export function withStanding(
  told: SessionStatus | undefined,
  workload: Workload | undefined,
  { expected, commanded }: { readonly expected: ExpectedState; readonly commanded: CommandedState },
): SessionStatus | undefined {
  if (workload?.kind !== "session") return told;
  const generation = commanded.sessions.get(workload.id)?.generation;
  const isUnclaimed = expected.sessions.unclaimed.has(workload.id);
  if (generation === undefined && !isUnclaimed) return told;
  const { name, resources, power, spec } = maskWorkload(workload);
  return {
    ...(told ?? { user: spec.user, turn: power?.turn ?? 0 }),
    ...(generation === undefined ? {} : { commanded: { generation } }),
    ...(isUnclaimed
      ? {
          unclaimed: {
            spec,
            ...(name === undefined ? {} : { name }),
            ...(resources === undefined ? {} : { resources }),
            ...(power === undefined ? {} : { power }),
          },
        }
      : {}),
  };
}
