import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { Carrier, LaneOffer } from "../remote/carrier.ts";
import { createCarrierDuplex } from "../remote/carrier-duplex.ts";
import { holdFrames } from "../remote/held-carrier.ts";
import { keepLaneCall } from "../remote/lane-call.ts";

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
  const { lane } = task.carrier;
  if (lane === undefined) return sealCall(task, signal);
  const spoken = Promise.withResolvers<undefined>();
  const call = holdFrames(task.carrier, () => spoken.resolve(undefined));
  const onAbort = () => spoken.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const needless = new AbortController();
  try {
    let problem: unknown;
    const met = sealLane(task, lane, deps, needless.signal).catch((thrown: unknown) => {
      problem = thrown;
      return undefined;
    });
    const line = await Promise.race([met, spoken.promise]);
    signal.throwIfAborted();
    if (line === undefined) {
      // Before the lane is left: what follows is no problem of its own.
      const before = problem;
      needless.abort();
      const sealed = await sealCall({ ...task, carrier: call }, signal).catch((thrown: unknown) => {
        // Who was refused on the lane does not come to the call.
        throw before instanceof AppError && before.code === "refused" ? before : thrown;
      });
      // Where the call is of no use either, nothing is said about lanes.
      if (isOfLane(before, task.as)) lane.failed();
      return sealed;
    }
    keepLaneCall({ call, line }, deps, lane.failed);
    return line;
  } catch (thrown) {
    needless.abort();
    task.carrier.cut();
    throw thrown;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Resolves when it is certain that this is where both speak. */
async function sealLane(
  { as, seal }: MeetingTask,
  lane: LaneOffer,
  { clock }: { readonly clock: Clock },
  needless: AbortSignal,
): Promise<TLSSocket> {
  let socket: Socket | undefined;
  const cut = () => socket?.destroy();
  needless.addEventListener("abort", cut, { once: true });
  try {
    socket = await lane.meet();
    if (needless.aborted) cut();
    const limit = clock.timer(SEAL_MS, cut);
    const line = await seal(socket).finally(() => limit.clear());
    if (as === "sender") await firstBytes(line);
    needless.removeEventListener("abort", cut);
    return line;
  } catch (thrown) {
    cut();
    throw thrown;
  }
}

/** That the receiver did not come says nothing of the sender's next lane. */
function isOfLane(problem: unknown, as: MeetingTask["as"]): boolean {
  return (
    problem !== undefined && (as === "receiver" || (problem instanceof AppError && problem.code === "unsupported"))
  );
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

/** They are read again by whoever listens next, once that resumes. */
function firstBytes(line: TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    line.once("close", () => reject(new AppError("unavailable", "the other side left")));
    line.once("data", (first: Buffer) => {
      line.pause();
      line.unshift(first);
      resolve();
    });
  });
}
