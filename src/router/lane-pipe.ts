import type { Socket } from "node:net";
import type { Clock } from "../base/clock.ts";
import { readRaw } from "./raw-reader.ts";

/** One end's connection of a lane. */
export interface LaneEnd {
  readonly socket: Socket;
  /** It came to its end before it was to, and with it the lane. */
  readonly broke: Promise<void>;
  /** How long what it sends was not taken by the other end, while it is held for that; 0: it is not held. */
  heldMs(): number;
  /** Nothing more is read of it. */
  hush(): void;
}

export interface LanePipe {
  readonly operator: LaneEnd;
  readonly box: LaneEnd;
}

/**
 * Carries bytes both ways, and looks at none. While an end does not take what was read for it, the other is not read: what waits is no more than
 * the memory of one read for each direction. An end of one direction leaves the other open.
 */
export function pipeLane(
  given: { readonly operator: Socket; readonly box: Socket },
  deps: {
    readonly clock: Pick<Clock, "monotonicMs">;
    readonly onBytes: (from: "operator" | "box", bytes: number) => void;
  },
): LanePipe {
  const { clock } = deps;
  const make = (socket: Socket, from: "operator" | "box", peer: () => LaneEnd): LaneEnd => {
    let heldAtMs: number | undefined;
    let isHushed = false;
    const broke = Promise.withResolvers<void>();
    const onTaken = () => {
      if (heldAtMs === undefined) return;
      heldAtMs = undefined;
      if (!isHushed) reader.socket.resume();
    };
    const take = (bytes: Uint8Array): boolean => {
      if (isHushed) return false;
      deps.onBytes(from, bytes.length);
      const to = peer().socket;
      if (to.destroyed || to.writableEnded) return true;
      to.write(bytes, onTaken);
      if (to.writableLength === 0) return true;
      heldAtMs = clock.monotonicMs();
      return false;
    };
    const reader = readRaw(socket, take);
    const own = reader.socket;
    own.setNoDelay(true);
    own.on("error", () => undefined);
    own.once("end", () => peer().socket.end());
    own.once("close", () => {
      if (!own.readableEnded || !own.writableFinished) broke.resolve();
    });
    return {
      socket: own,
      broke: broke.promise,
      heldMs: () => (heldAtMs === undefined ? 0 : clock.monotonicMs() - heldAtMs),
      hush: () => {
        isHushed = true;
        own.pause();
      },
    };
  };
  const operator: LaneEnd = make(given.operator, "operator", () => box);
  const box: LaneEnd = make(given.box, "box", () => operator);
  return { operator, box };
}
