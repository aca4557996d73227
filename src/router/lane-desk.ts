import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import type { Clock } from "../base/clock.ts";
import { LANE_READY } from "../contract/remote/lane-preface.ts";
import { TAKE_END_WITHIN_MS } from "./answer-end.ts";
import { type LanePipe, pipeLane } from "./lane-pipe.ts";

export type LaneSide = "operator" | "box";

/** The lane of a session that is open, as its calls see it. */
export interface Lane {
  /** For each end its own. */
  readonly tokens: Readonly<Record<LaneSide, string>>;
  /** How long what this end sends was not taken by the other, while it is held for that. */
  heldMs(from: LaneSide): number;
  /** The session is over. In order: what both ends have sent still arrives. Else nothing more is read. */
  conclude(isInOrder: boolean): void;
}

/** Where the connections of lanes arrive that calls have been promised. */
export interface LaneDesk {
  promise(onBytes: (from: LaneSide, bytes: number) => void): Lane;
  /** A connection that has said a token, and nothing behind it. `undefined`: the token is none, or was used before. */
  arrive(token: string, socket: Socket, onClose: () => void): LaneArrival | undefined;
  /** To be called about every second. */
  lap(): void;
  /** Lanes on which both ends have met, of sessions that are not over. */
  readonly count: number;
}

export interface LaneArrival {
  destroy(): void;
}

/** Both ends come within so long, or meet on their calls alone. */
const ARRIVE_WITHIN_MS = 10_000;
const TOKEN_BYTES = 16;
const SIDES = ["operator", "box"] as const;

interface Waiting {
  readonly socket: Socket;
  readonly leave: () => void;
  readonly onClose: () => void;
}

interface Promised {
  readonly tokens: Readonly<Record<LaneSide, string>>;
  readonly untilMs: number;
  readonly onBytes: (from: LaneSide, bytes: number) => void;
  readonly waiting: Partial<Record<LaneSide, Waiting>>;
  pipe: LanePipe | undefined;
  /** It is over, and what was taken has so long to leave. */
  endsAtMs: number | undefined;
}

export function createLaneDesk({ clock }: { readonly clock: Pick<Clock, "monotonicMs"> }): LaneDesk {
  const lanes = new Set<Promised>();
  const byToken = new Map<string, { readonly lane: Promised; readonly side: LaneSide }>();

  const socketOf = (lane: Promised, side: LaneSide) => lane.pipe?.[side].socket ?? lane.waiting[side]?.socket;
  const forget = (lane: Promised) => {
    lanes.delete(lane);
    for (const side of SIDES) {
      byToken.delete(lane.tokens[side]);
      socketOf(lane, side)?.destroy();
    }
  };
  const meet = (lane: Promised, { operator, box }: Record<LaneSide, Waiting>) => {
    operator.leave();
    box.leave();
    const pipe = pipeLane({ operator: operator.socket, box: box.socket }, { clock, onBytes: lane.onBytes });
    lane.pipe = pipe;
    for (const side of SIDES) {
      const { socket, broke } = pipe[side];
      void broke.then(() => forget(lane));
      socket.once("close", () => {
        lane.waiting[side]?.onClose();
        if (pipe.operator.socket.destroyed && pipe.box.socket.destroyed) forget(lane);
      });
      socket.write(LANE_READY);
      socket.resume();
    }
  };

  return {
    get count() {
      return [...lanes].filter(({ pipe, endsAtMs }) => pipe !== undefined && endsAtMs === undefined).length;
    },
    promise: (onBytes) => {
      const tokenOf = () => randomBytes(TOKEN_BYTES).toString("hex");
      const lane: Promised = {
        tokens: { operator: tokenOf(), box: tokenOf() },
        untilMs: clock.monotonicMs() + ARRIVE_WITHIN_MS,
        onBytes,
        waiting: {},
        pipe: undefined,
        endsAtMs: undefined,
      };
      lanes.add(lane);
      for (const side of SIDES) byToken.set(lane.tokens[side], { lane, side });
      return {
        tokens: lane.tokens,
        heldMs: (from) => lane.pipe?.[from].heldMs() ?? 0,
        conclude: (isInOrder) => {
          if (lane.pipe === undefined) return forget(lane);
          lane.endsAtMs ??= clock.monotonicMs() + TAKE_END_WITHIN_MS;
          if (isInOrder) return;
          for (const side of SIDES) {
            lane.pipe[side].hush();
            lane.pipe[side].socket.end();
          }
        },
      };
    },
    arrive: (token, socket, onClose) => {
      const found = byToken.get(token);
      if (found === undefined) return undefined;
      const { lane, side } = found;
      byToken.delete(token);
      lane.waiting[side] = { socket, leave: waitQuietly(socket), onClose };
      // One that leaves before the other has come has left for good: its token is spent.
      socket.once("close", () => {
        if (lane.pipe !== undefined) return;
        forget(lane);
        onClose();
      });
      const { operator, box } = lane.waiting;
      if (operator !== undefined && box !== undefined) meet(lane, { operator, box });
      return { destroy: () => socketOf(lane, side)?.destroy() };
    },
    lap: () => {
      const nowMs = clock.monotonicMs();
      for (const lane of [...lanes]) {
        if (nowMs >= (lane.endsAtMs ?? (lane.pipe === undefined ? lane.untilMs : Number.POSITIVE_INFINITY)))
          forget(lane);
      }
    },
  };
}

/** Until the other is there nobody has anything to say, and who leaves is gone. */
function waitQuietly(socket: Socket): () => void {
  const cut = () => socket.destroy();
  socket.on("error", () => undefined);
  socket.on("data", cut);
  socket.on("end", cut);
  socket.resume();
  return () => {
    socket.off("data", cut);
    socket.off("end", cut);
    socket.pause();
  };
}
