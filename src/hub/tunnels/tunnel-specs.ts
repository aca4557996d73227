import type { TunnelLeg, TunnelRole, TunnelSpec } from "../../contract/tunnel-spec.ts";
import { securityOf } from "./plan-keys.ts";
import type { Tunnel, TunnelState } from "./tunnel-record.ts";

/** Pure. What one end must know. `endsAt` is the box's own time: its clock may be a year off. */
export function specOf(tunnel: Tunnel, state: TunnelState, role: TunnelRole): TunnelSpec {
  const { uid, wish, endsAtMs } = tunnel;
  return {
    uid,
    role,
    legs: [...legsOf(tunnel, role)],
    security: securityOf(tunnel, state, role),
    minTls: wish.minTls,
    ...(endsAtMs === undefined ? {} : { endsAt: new Date(endsAtMs + state.clockAheadMs[role]).toISOString() }),
  };
}

/** Pure. In the order of the ways, at both ends. */
export function legsOf({ ways }: Pick<Tunnel, "ways">, role: TunnelRole): readonly TunnelLeg[] {
  return ways.map(({ entry, dial, gateway, source }) =>
    role === "producer" ? { listen: gateway, connect: source } : { listen: entry, connect: dial },
  );
}
