import type { SessionWish } from "../../contract/fleet/session.ts";
import type { SessionPower, VolumeRule } from "../../contract/session-spec.ts";
import type { SessionStatus } from "../../contract/session-status.ts";
import { sessionWorkload } from "../../contract/session-workload.ts";
import type { SessionWorkload } from "../../contract/workload.ts";
import type { Session } from "./session-record.ts";

/** Pure. What its box is told. */
export function workloadOf({ wish, power }: Pick<Session, "wish" | "power">): SessionWorkload {
  const { name, box: _box, select: _select, onLost: _onLost, ...spec } = wish;
  return sessionWorkload(spec, { name, power });
}

/** Pure. The last form before it is taken from a box: it runs no more, and the box knows what becomes of its volumes. */
export function farewellOf(workload: SessionWorkload, turn: number, volumes: VolumeRule | undefined): SessionWorkload {
  const { volumes: held } = workload.spec;
  const told = volumes === undefined ? held : held?.map((volume) => ({ ...volume, onStop: volumes }));
  return {
    ...workload,
    power: { state: "hibernated", turn },
    spec: { ...workload.spec, hibernation: "stopped", ...(told === undefined ? {} : { volumes: told }) },
  };
}

/** Pure. The wish and power that a session must have had of which only its box knows. It stays where it is until somebody says otherwise. */
export function recoveredFrom(
  id: string,
  { unclaimed, turn }: Pick<SessionStatus, "unclaimed" | "turn">,
  boxId: string,
): { readonly wish: SessionWish; readonly power: SessionPower } | undefined {
  if (unclaimed === undefined) return undefined;
  const { spec, name, resources, power } = unclaimed;
  const { gpus, ...fields } = spec;
  const limits = { ...resources, ...(gpus === undefined ? {} : { gpus }) };
  return {
    wish: {
      id,
      ...fields,
      ...(name === undefined ? {} : { name }),
      ...(Object.keys(limits).length === 0 ? {} : { resources: limits }),
      box: boxId,
    },
    power: power ?? { state: "running", turn },
  };
}
