import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import type { Carrier } from "../../remote/carrier.ts";
import { createCarrierDuplex } from "../../remote/carrier-duplex.ts";
import { keepLaneCall } from "../../remote/lane-call.ts";
import { meetOnLane } from "../../remote/lane-meeting.ts";
import { ROLES } from "../../remote/meeting-place.ts";

export interface MeetingTask {
  /** On which both workers are there, and nothing was said yet. */
  readonly carrier: Carrier;
  readonly as: "receiver" | "sender";
  /** TLS with the other worker over what is given. Rejects where that is another one, or its connection ends. */
  readonly seal: (stream: Duplex) => Promise<TLSSocket>;
}

/** What is on its way in a call at once: 40 MB/s over 100 ms, and lost where the router dies. */
const WINDOW_BYTES = 4 * 1024 * 1024;
/** A handshake on a lane is one round trip through the router. */
const SEAL_MS = 5000;

/**
 * Resolves with the connection to the other worker: on a lane where both come to one, else in the call. The receiver decides, and speaks where
 * it has decided; a sender that cannot come to the lane speaks on the call before it. Rejects with the signal, and where the call ends.
 */
export async function sealMeeting(
  task: MeetingTask,
  deps: { readonly clock: Clock },
  signal: AbortSignal,
): Promise<TLSSocket> {
  const { carrier, as, seal } = task;
  const { lane } = carrier;
  if (lane === undefined) return sealCall(task, signal);
  const sealInTime = (socket: Socket) => {
    const limit = deps.clock.timer(SEAL_MS, () => void socket.destroy());
    return seal(socket).finally(() => limit.clear());
  };
  try {
    const met = await meetOnLane({ call: carrier, lane, role: ROLES[as], seal: sealInTime }, signal);
    const { line, call, problem } = met;
    if (line !== undefined) {
      keepLaneCall({ call, line }, deps, lane.failed);
      return line;
    }
    const sealed = await sealCall({ ...task, carrier: call }, signal).catch((thrown: unknown) => {
      // Who was refused on the lane does not come to the call.
      throw problem instanceof AppError && problem.code === "refused" ? problem : thrown;
    });
    // Where the call is of no use either, nothing is said about lanes.
    if (met.isLaneToBlame) lane.failed();
    return sealed;
  } catch (thrown) {
    carrier.cut();
    throw thrown;
  }
}

async function sealCall({ carrier, as, seal }: MeetingTask, signal: AbortSignal): Promise<TLSSocket> {
  const duplex = createCarrierDuplex(carrier, {
    side: as === "receiver" ? "operator" : "box",
    windowBytes: WINDOW_BYTES,
  });
  const onAbort = () => duplex.destroy(signal.reason instanceof Error ? signal.reason : undefined);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const broken = Promise.withResolvers<never>();
    duplex.once("error", broken.reject);
    for (const event of ["end", "close"]) {
      duplex.once(event, () => broken.reject(new AppError("unavailable", "the other side left")));
    }
    broken.promise.catch(() => undefined);
    if (signal.aborted) onAbort();
    const secure = await Promise.race([seal(duplex), broken.promise]);
    secure.once("close", () => duplex.destroy());
    duplex.on("error", (error) => secure.destroy(error));
    return secure;
  } catch (thrown) {
    duplex.on("error", () => undefined);
    duplex.destroy(thrown instanceof Error ? thrown : undefined);
    throw thrown;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
