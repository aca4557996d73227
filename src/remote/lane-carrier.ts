import type { TLSSocket } from "node:tls";
import type { Clock, Timer } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { createPieceReader, MESSAGE_PREFIX_BYTES, writePrefix } from "../base/grpc/grpc-messages.ts";
import type { Carrier, CarrierEnd } from "./carrier.ts";
import { createCarrierInbox } from "./carrier-inbox.ts";
import { createFrameWriter, type FrameHead } from "./frame-writer.ts";
import { ACTIVE, ALIVE } from "./lane-beat.ts";

const HEAD: FrameHead = { lengthOf: () => MESSAGE_PREFIX_BYTES, write: writePrefix };
/** The call says that its end lives, and at most so often that the session is in use. */
const BEAT_MS = 10_000;
const ACTIVE_BEAT_MS = 500;
/** How a session ends the call tells, and its last bytes come on the lane: the one is waited for so long after the other. */
const LAST_BYTES_MS = 5000;
const LAST_WORD_MS = 500;

/** A session asks the other end sooner than that whether it is there, and gives a carrier up that says nothing for so long, or longer. */
const SILENT_MS = 20_000;

/** A frame whose first byte has this bit is of the link. */
const LINK_BIT = 0x80;

/**
 * Carries frames on a lane, and leaves to the call beside it how it ends. `onBroken`: the lane ended while its call did not, or was given up
 * when nothing came over it any more and the other end still said on the call that it lives.
 */
export function createLaneCarrier(
  { call, line }: { readonly call: Carrier; readonly line: TLSSocket },
  { clock }: { readonly clock: Clock },
  onBroken: () => void,
): Carrier {
  const inbox = createCarrierInbox();
  let callEnd: CarrierEnd | undefined;
  let isLineOver = false;
  let isLeft = false;
  let beat: Timer | undefined;
  let beatAtMs = Number.NEGATIVE_INFINITY;
  let last: Timer | undefined;
  let readAtMs = clock.monotonicMs();
  let beatenAtMs = readAtMs;
  const isSilent = () => clock.monotonicMs() - readAtMs >= SILENT_MS && beatenAtMs - readAtMs >= BEAT_MS;

  const over = (end: CarrierEnd) => {
    if (inbox.isOver) return;
    beat?.clear();
    last?.clear();
    // First: what follows is an end, too.
    inbox.onEnd(end);
    line.end();
    if (end.reason === "peer-done" || isLeft) call.finish();
    else call.cut();
  };
  const gone = () => over(callEnd ?? { reason: "broken", message: "the lane through the router ended" });
  const settle = () => {
    if (inbox.isOver) return;
    last?.clear();
    if (callEnd !== undefined && isLineOver) return over(callEnd);
    last = clock.timer(callEnd === undefined ? LAST_WORD_MS : LAST_BYTES_MS, () => {
      if (callEnd === undefined) onBroken();
      gone();
    });
  };
  const onLineOver = () => {
    if (isLineOver) return;
    isLineOver = true;
    settle();
  };

  const say = (what: Uint8Array) => {
    if (inbox.isOver || isLeft) return;
    beat?.clear();
    beatAtMs = clock.monotonicMs();
    call.send([what]);
    beat = clock.timer(BEAT_MS, () => say(ALIVE));
  };
  const writeFrame = createFrameWriter(line, HEAD, inbox.onDrain);

  const reader = createPieceReader({ onMessage: inbox.onFrame });
  line.on("data", (chunk: Uint8Array) => {
    readAtMs = clock.monotonicMs();
    if (callEnd !== undefined) settle();
    try {
      reader.push(chunk);
    } catch (thrown) {
      over({ reason: "protocol", message: messageOf(thrown) });
      line.destroy();
      return;
    }
    // Frames wait for whoever listens: nothing is read in between.
    if (!inbox.isHeard) line.pause();
  });
  line.on("error", () => undefined);
  line.on("end", onLineOver);
  line.on("close", onLineOver);
  call.listen({
    onFrame: () => {
      beatenAtMs = clock.monotonicMs();
    },
    onDrain: () => undefined,
    onEnd: (end) => {
      callEnd = end;
      settle();
    },
  });
  beat = clock.timer(BEAT_MS, () => say(ALIVE));

  return {
    sessionId: call.sessionId,
    routerId: call.routerId,
    peerClient: call.peerClient,
    listen: (given) => {
      inbox.listen(given);
      line.resume();
    },
    send: (pieces) => {
      if (inbox.isOver || line.writableEnded || line.destroyed) return true;
      const isActivity = ((pieces.find(({ length }) => length > 0)?.[0] ?? LINK_BIT) & LINK_BIT) === 0;
      if (isActivity && clock.monotonicMs() - beatAtMs >= ACTIVE_BEAT_MS) say(ACTIVE);
      return writeFrame(pieces);
    },
    finish: () => {
      if (isLeft || inbox.isOver) return;
      isLeft = true;
      beat?.clear();
      line.end();
      call.finish();
    },
    cut: () => {
      if (!inbox.isOver && inbox.isHeard && callEnd === undefined && isSilent()) onBroken();
      over({ reason: "broken", message: "this end cut it" });
      line.destroy();
    },
  };
}
