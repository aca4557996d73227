import type { Socket } from "node:net";
import type { Clock, Timer } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { Carrier, CarrierEnd } from "./carrier.ts";
import { ACTIVE, ALIVE } from "./lane-beat.ts";

/** The call says that its end lives, and that its session is in use. */
const BEAT_MS = 10_000;
/** So many beats without a byte of the other end, and whoever gives the lane up then does so because it is of no use. */
const QUIET_BEATS = 2;
/** How a session ends the call tells. Both end together where the router dies, and a machine that is busy hears of the one late. */
const LAST_WORD_MS = 5000;

/**
 * The call beside a lane whose bytes are the ends' own: it lasts as long as the lane, keeps the session alive at the router, and ends the
 * lane with its own word. `onBroken`: the lane ended while its call did not, or nothing came over it.
 */
export function keepLaneCall(
  { call, line }: { readonly call: Carrier; readonly line: Socket },
  { clock }: { readonly clock: Pick<Clock, "timer"> },
  onBroken: () => void,
): void {
  let callEnd: CarrierEnd | undefined;
  let isEndedByOther = false;
  let last: Timer | undefined;
  let quietBeats = 0;
  let seen = { read: line.bytesRead, written: line.bytesWritten };

  const say = () => {
    const now = { read: line.bytesRead, written: line.bytesWritten };
    quietBeats = now.read === seen.read ? quietBeats + 1 : 0;
    const isActive = now.read !== seen.read || now.written !== seen.written;
    seen = now;
    call.send([isActive ? ACTIVE : ALIVE]);
    beat = clock.timer(BEAT_MS, say);
  };
  let beat = clock.timer(BEAT_MS, say);
  const broke = () => {
    onBroken();
    call.cut();
  };
  const onEndOfOther = () => {
    isEndedByOther = true;
  };
  line.once("end", onEndOfOther);
  line.on("error", onEndOfOther);
  line.once("close", () => {
    beat.clear();
    if (callEnd !== undefined) call.finish();
    else if (isEndedByOther) last = clock.timer(LAST_WORD_MS, broke);
    else if (quietBeats >= QUIET_BEATS) broke();
    else call.finish();
  });
  call.listen({
    onFrame: () => undefined,
    onDrain: () => undefined,
    onEnd: (end) => {
      callEnd = end;
      last?.clear();
      // What it sent before it left is still read: the lane ends after that by itself.
      if (end.reason !== "peer-done") line.destroy(new AppError("unavailable", end.message));
      else if (line.destroyed) call.finish();
    },
  });
}
