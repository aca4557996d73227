import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { Carrier, LaneOffer } from "./carrier.ts";
import { holdFrames } from "./held-carrier.ts";
import { createLaneCarrier } from "./lane-carrier.ts";
import { sealLane } from "./lane-line.ts";

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
export async function meetAsOperator(
  { call, lane, key }: LaneTask,
  { clock }: { readonly clock: Clock },
): Promise<Carrier> {
  try {
    const line = await sealLane(await lane.meet(), { key, side: "operator", limitMs: SEAL_MS }, { clock });
    return createLaneCarrier({ call, line }, { clock }, lane.failed);
  } catch {
    lane.failed();
    return call;
  }
}

/** Of the box's end, which answers where it is spoken to. Resolves then, or when the call is over. Never rejects. */
export function meetAsBox(
  { call: given, lane, key }: LaneTask,
  { clock }: { readonly clock: Clock },
): Promise<Carrier> {
  const drop = (socket: Socket) => socket.destroy();
  return new Promise((resolve) => {
    let line: TLSSocket | undefined;
    let isDecided = false;
    const decide = (carrier: Carrier) => {
      if (isDecided) return;
      isDecided = true;
      limit.clear();
      if (carrier === call) {
        void lane.meet().then(drop, () => undefined);
        line?.destroy();
      }
      resolve(carrier);
    };
    const limit = clock.timer(DECIDE_MS, () => call.cut());
    const call = holdFrames(given, () => decide(call));
    lane
      .meet()
      .then((socket) => sealLane(socket, { key, side: "box", limitMs: SEAL_MS }, { clock }))
      .then(
        (sealed) => {
          line = sealed;
          if (isDecided) sealed.destroy();
          sealed.once("data", (first: Buffer) => {
            if (isDecided) return;
            sealed.pause();
            sealed.unshift(first);
            decide(createLaneCarrier({ call, line: sealed }, { clock }, lane.failed));
          });
        },
        (thrown: unknown) => {
          // That the operator did not come says nothing of the next one.
          if (thrown instanceof AppError && thrown.code === "unsupported") lane.failed();
        },
      );
  });
}
