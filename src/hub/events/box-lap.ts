import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { Store } from "../store/store.ts";
import type { BoxConnection } from "./box-connection.ts";
import { commandEvent, holdEvent, readyEvent } from "./box-events.ts";
import { standingOf } from "./box-standing.ts";
import { type OpenWorkload, setEvent, stepEvent } from "./served-set.ts";

export interface BoxLapDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly hubId: string;
  /** Whether this is still the box's connection, among all hubs. Asked before something is sent that is sent once only. */
  readonly isNewest: (connection: BoxConnection) => Promise<boolean>;
  readonly open: OpenWorkload;
}

/** Above this nothing more is read from the store for a connection: it goes on from its cursor when it has drained. */
export const WAITING_BYTES = 64 * 1024;
const CHANGES_A_READ = 64;
const SENT_COMMANDS_KEPT = 512;

/**
 * Brings one connection up to date: the truth is read after its cursor and handed over. Level-triggered: it may run at any
 * time and for nothing. Rejects with the store's error; nothing is lost by that, because the cursor moves with what was
 * sent. A connection that may not stay is closed.
 */
export async function takeBoxLap(connection: BoxConnection, deps: BoxLapDeps): Promise<void> {
  const { sink, boxId } = connection;
  if (!sink.isOpen()) return;
  const box = await deps.store.boxes.get(boxId);
  const slot = connection.keySlot === "next" ? (box?.nextKey ?? box?.key) : box?.key;
  connection.keyHash ??= slot?.hash;
  const standing = standingOf(box, connection.keyHash ?? "");
  if (standing.kind === "cut" || (standing.kind === "hold" && connection.served)) {
    deps.log.info(`Box ${boxId} was cut: ${standing.kind === "cut" ? standing.reason : `it is ${standing.reason}`}`);
    sink.close("cut");
    return;
  }
  if (standing.kind === "hold") {
    if (connection.held !== standing.reason) send(connection, holdEvent(standing.reason));
    connection.held = standing.reason;
    return;
  }
  // Even when there is nothing new for it, it must hear that it need not wait any more.
  if (connection.held !== undefined) connection.greeted = false;
  connection.held = undefined;
  connection.served = true;
  const isUpToDate = await sendSet(connection, deps);
  if (isUpToDate) await sendCommands(connection, deps);
}

/** Answers whether the box has heard all that is there. Whatever comes meanwhile wakes the next lap. */
async function sendSet(connection: BoxConnection, deps: BoxLapDeps): Promise<boolean> {
  const { boxId, sink } = connection;
  while (sink.isOpen() && sink.waitingBytes() <= WAITING_BYTES) {
    const answer = await deps.store.expected.after(boxId, connection.cursor, CHANGES_A_READ);
    if (answer.kind === "snapshot") {
      // What the box has seen, this store has lost: revisions of the two lives must not be taken for each other.
      const isAhead = answer.reason === "ahead";
      const set = isAhead
        ? await deps.store.expected.renewEpoch(boxId, answer.set.epoch, { nowMs: deps.clock.wallMs() })
        : answer.set;
      if (isAhead) deps.log.warn(`Box ${boxId} has seen what this store lost: it gets its set afresh`);
      send(connection, setEvent(set, deps.open));
      connection.cursor = `${set.epoch}.${set.revision}`;
      return true;
    }
    for (const change of answer.changes) {
      send(connection, stepEvent(answer.epoch, change, deps.open));
      connection.cursor = `${answer.epoch}.${change.revision}`;
    }
    if (answer.changes.length < CHANGES_A_READ) {
      if (!connection.greeted && connection.cursor !== undefined) send(connection, readyEvent(connection.cursor));
      return true;
    }
  }
  return false;
}

async function sendCommands(connection: BoxConnection, deps: BoxLapDeps): Promise<void> {
  const { boxId, sink } = connection;
  const taker = takerOf(connection, deps.hubId);
  const commands = await deps.store.commands.list(boxId, deps.clock.wallMs());
  // One that is ours and was not sent: it was written as ours, or the answer of the store to our taking it was lost.
  const due = commands.filter(
    ({ id, state, takenBy }) =>
      state === "waiting" || (state === "taken" && takenBy === taker && !connection.sentCommands.has(id)),
  );
  if (due.length === 0) return;
  if (!(await deps.isNewest(connection))) {
    sink.close("cut");
    return;
  }
  for (const one of due) {
    if (!sink.isOpen() || sink.waitingBytes() > WAITING_BYTES) return;
    const { id } = one;
    const isOurs = one.state === "taken";
    const command = isOurs ? one : await deps.store.commands.take(boxId, id, { taker, nowMs: deps.clock.wallMs() });
    if (command === undefined) continue;
    connection.sentCommands = new Set([...connection.sentCommands, id].slice(-SENT_COMMANDS_KEPT));
    send(connection, commandEvent(command));
  }
}

/** Of all takers of commands, a connection of its hub is one. */
export function takerOf({ id }: Pick<BoxConnection, "id">, hubId: string): string {
  return `${hubId}/${id}`;
}

function send(connection: BoxConnection, text: string): void {
  connection.greeted = true;
  connection.sink.send(Buffer.from(text));
}
