import type { Clock, Timer } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { Service } from "../../base/service.ts";
import type { Store } from "../store/store.ts";
import type { BoxConnection } from "./box-connection.ts";
import { retryLine } from "./box-events.ts";
import { takeBoxLap, takerOf, WAITING_BYTES } from "./box-lap.ts";
import type { ConnectionMarks } from "./connection-marks.ts";
import { encodeBeat } from "./frame.ts";
import { handOver } from "./hand-over.ts";
import { createLapQueue } from "./lap-queue.ts";
import type { OpenWorkload } from "./served-set.ts";

/** All boxes that are connected to this hub. */
export interface BoxRoom extends Service {
  /** Takes a connection whose headers are sent. Another one of the same box is closed: the newest counts. */
  enter(connection: BoxConnection): void;
  leave(connection: BoxConnection): void;
  /** Ends it properly, with the time at which it may come back. */
  dismiss(connection: BoxConnection): void;
  /** Closes what the box has open. Answers whether there was anything. */
  cut(boxId: string): boolean;
  has(boxId: string): boolean;
  /**
   * Who takes the box's commands, where it is this hub beyond doubt and the box hears at once what is said: what is claimed for it when it is
   * written is sent without another write. `undefined`: ask again when it is to be sent.
   */
  takerOf(boxId: string): string | undefined;
  count(): number;
  /** Connections that wait for what they should hear. */
  behind(): number;
  /** Connections that were closed because the box took nothing. */
  cutSlow(): number;
}

export interface BoxRoomDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly hubId: string;
  /** Who of several hubs has a box; left out where there is one hub. */
  readonly marks?: ConnectionMarks | undefined;
  readonly onLink: (boxId: string, isLinked: boolean) => void;
  /** What is sealed in the store is opened on its way to a box. */
  readonly open: OpenWorkload;
  /** A newer connection has closed this one. */
  readonly onTakeover: (older: BoxConnection, newer: BoxConnection) => void;
}

export interface BoxRoomOptions {
  readonly beatMs: number;
  /** Boxes that may come back each second: spreads those that are sent away when the hub stops. */
  readonly connectsPerSecond: number;
}

const LAPS_AT_ONCE = 64;
/** The rooms' turns in one beat: beats of all boxes at one moment would be a stutter each period. */
const TURNS = 15;
/** Each connection is looked at without a hint once in so many beats. */
const BEATS_A_LOOK = 4;
/** A box that takes nothing for so many beats is cut; it goes on from its cursor when it comes back. */
const STUCK_BEATS = 2;
const STORE_RETRY_MS = 1000;

export function createBoxRoom(options: BoxRoomOptions, deps: BoxRoomDeps): BoxRoom {
  const connections = new Map<string, BoxConnection>();
  const turns: Set<BoxConnection>[] = Array.from({ length: TURNS }, () => new Set());
  const turnOf = new WeakMap<BoxConnection, Set<BoxConnection>>();
  const failed = new Set<BoxConnection>();
  const beat = Buffer.from(encodeBeat(options.beatMs));
  let nextTurn = 0;
  let round = 0;
  let retry: Timer | undefined;
  let cutSlow = 0;
  let isStoreAway = false;

  const isNewest = async (connection: BoxConnection) =>
    connections.get(connection.boxId) === connection && (deps.marks?.isNewest(connection) ?? true);
  const lapDeps = { ...deps, isNewest };

  const laps = createLapQueue<BoxConnection>({ atOnce: LAPS_AT_ONCE }, async (connection) => {
    try {
      await takeBoxLap(connection, lapDeps);
      if (isStoreAway) deps.log.info("The store answers again: boxes hear what they missed");
      isStoreAway = false;
    } catch (thrown) {
      if (!isStoreAway) deps.log.warn(`Boxes cannot be told anything: ${messageOf(thrown)}`);
      isStoreAway = true;
      failed.add(connection);
      retry ??= deps.clock.timer(STORE_RETRY_MS, () => {
        retry = undefined;
        const again = [...failed];
        failed.clear();
        for (const one of again) laps.wake(one);
      });
    }
  });

  const takeTurn = (turn: Set<BoxConnection>) => {
    for (const connection of turn) {
      if (isStuck(connection)) {
        cutSlow++;
        deps.log.info(`Box ${connection.boxId} takes nothing: its connection was cut`);
        connection.sink.close("cut");
        continue;
      }
      if (connection.sink.waitingBytes() === 0) connection.sink.send(beat);
      if (round % BEATS_A_LOOK === 0) laps.wake(connection);
    }
  };

  const leave = (connection: BoxConnection) => {
    turnOf.get(connection)?.delete(connection);
    failed.delete(connection);
    if (connections.get(connection.boxId) !== connection) return;
    connections.delete(connection.boxId);
    deps.onLink(connection.boxId, false);
  };

  const dismiss = ({ sink }: BoxConnection) => {
    const spreadMs = (connections.size / options.connectsPerSecond) * 1000;
    if (spreadMs > 1000) sink.send(Buffer.from(retryLine(deps.random() * spreadMs)));
    // What it has not taken by now it gets from its cursor.
    sink.close(sink.waitingBytes() > WAITING_BYTES ? "cut" : "end");
  };

  return {
    name: "box events",
    enter: (connection) => {
      const older = connections.get(connection.boxId);
      connections.set(connection.boxId, connection);
      if (older !== undefined) {
        deps.onTakeover(older, connection);
        older.sink.close("cut");
      }
      const turn = turns[nextTurn++ % TURNS];
      turn?.add(connection);
      if (turn !== undefined) turnOf.set(connection, turn);
      connection.sink.onDrain(() => laps.wake(connection));
      connection.sink.send(beat);
      deps.onLink(connection.boxId, true);
      deps.marks?.mark(connection);
      laps.wake(connection);
    },
    leave,
    dismiss,
    cut: (boxId) => {
      const connection = connections.get(boxId);
      connection?.sink.close("cut");
      return connection !== undefined;
    },
    has: (boxId) => connections.has(boxId),
    takerOf: (boxId) => {
      const connection = connections.get(boxId);
      const isCertain = deps.marks === undefined && connection?.served === true && connection.held === undefined;
      if (!isCertain || !connection.sink.isOpen() || connection.sink.waitingBytes() > 0) return undefined;
      return takerOf(connection, deps.hubId);
    },
    count: () => connections.size,
    behind: () => laps.waiting(),
    cutSlow: () => cutSlow,
    run: async (signal) => {
      const stopHints = deps.store.onHint((hint) => {
        if (hint.kind === "box" || hint.kind === "expected") {
          const connection = connections.get(hint.boxId);
          if (connection === undefined) return;
          // Beside a lap that runs, the step could be sent twice.
          const isTold = hint.kind === "expected" && hint.news !== undefined && !laps.isBusy(connection);
          if (!isTold || !handOver(connection, hint.news, deps.open)) laps.wake(connection);
        } else if (hint.kind === "all") {
          for (const connection of connections.values()) laps.wake(connection);
        }
      });
      try {
        for (let at = 0; ; at = (at + 1) % TURNS) {
          await deps.clock.delay(options.beatMs / TURNS, signal);
          if (at === 0) round++;
          const turn = turns[at];
          if (turn !== undefined) takeTurn(turn);
        }
      } catch (thrown) {
        if (!signal.aborted) throw thrown;
      } finally {
        stopHints();
        retry?.clear();
        for (const connection of connections.values()) dismiss(connection);
      }
    },
  };
}

function isStuck(connection: BoxConnection): boolean {
  const waiting = connection.sink.waitingBytes();
  const flushed = connection.sink.bytesWritten() - waiting;
  connection.stuckBeats = waiting > 0 && flushed === connection.lastFlushed ? connection.stuckBeats + 1 : 0;
  connection.lastFlushed = flushed;
  return connection.stuckBeats >= STUCK_BEATS;
}
