import type { Socket } from "node:net";
import type { Clock } from "../base/clock.ts";
import type { Carrier, LaneOffer } from "./carrier.ts";
import { createLaneCarrier } from "./lane-carrier.ts";
import { sealLane } from "./lane-line.ts";
import { meetOnLane } from "./lane-meeting.ts";
import { ROLES } from "./meeting-place.ts";

export interface LaneTask {
  /** On which both ends have proved themselves, and nothing else was said. */
  readonly call: Carrier;
  readonly lane: LaneOffer;
  readonly key: Uint8Array;
}

/** A handshake is one round trip, and the operator waits for it. */
const SEAL_MS = 3000;
/** The operator's end decides within so long after its proof. */
const DECIDE_MS = 20_000;

/** Of the operator's end. The carrier on the lane; where there is no lane in time, the call. Never rejects. */
export function meetAsOperator(task: LaneTask, deps: { readonly clock: Clock }): Promise<Carrier> {
  return carryOver("operator", task, deps);
}

/** Of the box's end, which answers where it is spoken to. Resolves then, or when the call is over. Never rejects. */
export async function meetAsBox(task: LaneTask, deps: { readonly clock: Clock }): Promise<Carrier> {
  const limit = deps.clock.timer(DECIDE_MS, () => task.call.cut());
  const carrier = await carryOver("box", task, deps);
  limit.clear();
  return carrier;
}

async function carryOver(
  side: "operator" | "box",
  { call: given, lane, key }: LaneTask,
  deps: { readonly clock: Clock },
): Promise<Carrier> {
  const seal = (socket: Socket) => sealLane(socket, { key, side, limitMs: SEAL_MS }, deps);
  const { line, call, isLaneToBlame } = await meetOnLane({ call: given, lane, role: ROLES[side], seal });
  if (line !== undefined) return createLaneCarrier({ call, line }, deps, lane.failed);
  if (isLaneToBlame) lane.failed();
  return call;
}
