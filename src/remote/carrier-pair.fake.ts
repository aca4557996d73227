import type { Carrier, CarrierEnd, CarrierHandlers } from "./carrier.ts";

export interface CarrierPair {
  readonly operator: Carrier;
  readonly box: Carrier;
  /** Both ends lose it at once; what was on its way is gone. */
  break(): void;
  /** Nothing arrives any more, and nobody is told. */
  freeze(): void;
}

export interface CarrierPairOptions {
  /** Frames on their way in each direction before the sender is told to wait. */
  readonly room?: number;
  /** Calls it when the next frame may arrive; at once after the current turn when absent. */
  readonly schedule?: (arrive: () => void) => void;
}

/** Two ends of a carrier without a router between: each frame arrives in a later turn, in order. */
export function createCarrierPair({
  room = 64,
  schedule = (arrive) => setImmediate(arrive),
}: CarrierPairOptions = {}): CarrierPair {
  let isFrozen = false;
  let isBroken = false;

  const makeEnd = (name: string) => {
    let handlers: CarrierHandlers | undefined;
    let isOver = false;
    const over = (end: CarrierEnd) => {
      if (isOver) return;
      isOver = true;
      handlers?.onEnd(end);
    };
    return {
      name,
      over,
      isOver: () => isOver,
      arrive: (frame: Uint8Array) => (isOver ? undefined : handlers?.onFrame(cut(frame))),
      drained: () => (isOver ? undefined : handlers?.onDrain()),
      listen: (given: CarrierHandlers) => {
        handlers = given;
      },
    };
  };
  const ends = { operator: makeEnd("operator"), box: makeEnd("box") };

  const toCarrier = (mine: ReturnType<typeof makeEnd>, other: ReturnType<typeof makeEnd>): Carrier => {
    let underWay = 0;
    let isFinished = false;
    let isWaiting = false;
    const done = () => other.over({ reason: "peer-done", message: "the other end is done" });
    return {
      sessionId: "s-1",
      routerId: "fake",
      peerClient: other.name,
      listen: mine.listen,
      send: (pieces) => {
        if (isBroken || isFinished || mine.isOver()) return true;
        const frame = Buffer.concat(pieces);
        underWay += 1;
        schedule(() => {
          if (isBroken || isFrozen) return;
          underWay -= 1;
          other.arrive(frame);
          if (isFinished && underWay === 0) done();
          if (isWaiting && underWay < room / 2) {
            isWaiting = false;
            mine.drained();
          }
        });
        isWaiting ||= underWay >= room;
        return !isWaiting;
      },
      finish: () => {
        isFinished = true;
        if (underWay === 0) schedule(done);
      },
      cut: () => {
        mine.over({ reason: "broken", message: "it was cut" });
        schedule(() => other.over({ reason: "peer-lost", message: "the other end has gone" }));
      },
    };
  };
  return {
    operator: toCarrier(ends.operator, ends.box),
    box: toCarrier(ends.box, ends.operator),
    break: () => {
      isBroken = true;
      for (const end of [ends.operator, ends.box]) end.over({ reason: "broken", message: "it broke" });
    },
    freeze: () => {
      isFrozen = true;
    },
  };
}

/** Pieces, as a connection would bring them. */
function cut(frame: Uint8Array): readonly Uint8Array[] {
  const middle = frame.length % 23;
  return middle === 0 ? [frame] : [frame.subarray(0, middle), frame.subarray(middle)];
}
