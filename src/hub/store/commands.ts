import { REMOTE_COMMAND } from "../../contract/remote/offer.ts";
import { auditAppend, type NewAuditEntry } from "./audit-log.ts";
import { boxes, boxTopic, commandLists } from "./box-documents.ts";
import {
  type BoxCommands,
  type Command,
  decideCreate,
  type Edit,
  emptyList,
  expireAll,
  finished,
  isOpen,
  type NewCommand,
  pruned,
  withCommand,
} from "./command-list.ts";
import { collection, type DocumentKey, type Engine, keyOf, type Outcome, putOf } from "./engine.ts";
import { EVENTS_TOPIC, eventAppend, type NewEvent } from "./event-log.ts";
import { notFound } from "./store-error.ts";
import { change, type WriteContext } from "./write-context.ts";

/**
 * Commands for boxes. Durable, but for what becomes of offers of remote sessions. Whatever verb comes by, a command past its deadline is `expired` from then on: it is never
 * handed out, and a late answer does not change it. Whichever verb writes that down appends the one event
 * `command.expired` in the same step. Open commands are all kept, of finished ones the last `FINISHED_KEPT` of a box, and
 * `FINISHED_OFFERS_KEPT` offers of remote sessions.
 */
export interface CommandStore {
  /** The same id again gives the command that is there. `not-found`: no such box; `exhausted`: `OPEN_COMMANDS` are open; `invalid`: the deadline has passed. */
  create(boxId: string, command: NewCommand, context: CommandWrite): Promise<Command>;
  /**
   * Claims a waiting command for sending. Of all takers one gets it; the same taker asking again gets it again (its first
   * answer was lost). `undefined`: another has it, or it waits no more. A hub that dies after taking leaves it to expire:
   * at most once, never twice.
   */
  take(boxId: string, id: string, by: { readonly taker: string; readonly nowMs: number }): Promise<Command | undefined>;
  /** The box's answer. The first one counts; the answer is the command as it then stands. `not-found`: forgotten or never there. */
  complete(boxId: string, id: string, result: CommandResult): Promise<Command>;
  /** Those of a box, oldest first, with expiry judged by `nowMs`. */
  list(boxId: string, nowMs: number): Promise<readonly Command[]>;
  /** Writes down what has expired, and answers those that this call expired. */
  expire(boxId: string, nowMs: number): Promise<readonly Command[]>;
  /**
   * The same for every box with a deadline that has passed, at most `limit` deadlines at once, earliest first. Any hub may,
   * and all do. Answers how many deadlines it looked at.
   */
  expireDue(nowMs: number, limit: number): Promise<number>;
}

export interface CommandWrite extends WriteContext {
  /** Who sends it at once: it is claimed with the same write. One that dies before leaves it to expire, as after `take`. */
  readonly taker?: string | undefined;
}

export interface CommandResult {
  readonly ok: boolean;
  readonly text: string;
  readonly nowMs: number;
}

/** Deadlines of boxes in their order, while something is open until then. */
const deadlines = collection<{ readonly boxId: string }>("command-deadline");
const DEADLINE_DIGITS = 16;

function deadlineKey(boxId: string, deadlineMs: number) {
  return keyOf(deadlines, String(Math.ceil(deadlineMs)).padStart(DEADLINE_DIGITS, "0"), boxId);
}

/** What is written with a list of commands: events for those that expired since it was held, and what came of the audited ones. */
function writeList(held: BoxCommands | undefined, list: BoxCommands): Outcome<undefined> {
  const open = new Set(held?.commands.filter(isOpen).map(({ id }) => id));
  const ended = list.commands.filter((command) => !isOpen(command) && open.has(command.id));
  const expired = ended.filter(({ state }) => state === "expired");
  const atMs = ({ finishedMs, deadlineMs }: Command) => finishedMs ?? deadlineMs;
  const awaited = new Set(list.commands.filter(isOpen).map(({ deadlineMs }) => deadlineMs));
  const over = ended.filter(({ deadlineMs }) => !awaited.has(deadlineMs));
  return {
    answer: undefined,
    deletes: over.map(({ boxId, deadlineMs }) => deadlineKey(boxId, deadlineMs)),
    puts: [putOf(keyOf(commandLists, list.boxId), pruned(list))],
    appends: [
      ...expired.map((command) => eventAppend(expiredEvent(command), atMs(command))),
      ...ended.filter(({ isAudited }) => isAudited).map((command) => auditAppend(auditOf(command), atMs(command))),
    ],
    wakes: expired.length === 0 ? [] : [EVENTS_TOPIC],
  };
}

/** `command.done`, `command.failed`, `command.expired`, `command.replaced`. */
function auditOf({ id, boxId, name, state, answer = "" }: Command): NewAuditEntry {
  const isAnswered = state === "done" || state === "failed";
  return {
    actor: isAnswered ? `box:${boxId}` : "hub",
    action: `command.${state}`,
    subject: `box/${boxId}`,
    outcome: state === "done" ? "done" : "refused",
    detail: `${name} (${id}): ${answer.slice(0, AUDITED_CHARACTERS)}`,
  };
}
const AUDITED_CHARACTERS = 500;

function expiredEvent({ id, boxId, name, answer, takenMs }: Command): NewEvent {
  return {
    kind: "command.expired",
    boxId,
    text: `command ${name} of ${boxId} expired: ${answer}`,
    data: { id, name, wasSent: takenMs !== undefined },
  };
}

export function createCommandStore(engine: Engine): CommandStore {
  const expire = (boxId: string, nowMs: number, done?: DocumentKey<unknown>) =>
    engine.transact([keyOf(commandLists, boxId)], ([held]): Outcome<readonly Command[]> => {
      const list = held === undefined ? undefined : expireAll(held, nowMs);
      const looked = done === undefined ? [] : [done];
      if (list === undefined || list === held) return { answer: [], deletes: looked };
      const open = new Set(held?.commands.filter(isOpen).map(({ id }) => id));
      const answer = list.commands.filter(({ id, state }) => state === "expired" && open.has(id));
      const { deletes = [], ...rest } = writeList(held, list);
      return { ...rest, answer, deletes: [...deletes, ...looked] };
    });

  const edit = <Answer>(
    boxId: string,
    { id, nowMs }: { readonly id: string; readonly nowMs: number },
    decide: (list: BoxCommands) => Edit<Answer>,
  ) =>
    engine.transact([keyOf(commandLists, boxId)], ([held]): Outcome<Answer> => {
      if (held === undefined) return { answer: decide(emptyList(boxId)).answer };
      const current = expireAll(held, nowMs);
      const { list, answer } = decide(current);
      if (list === held) return { answer };
      // A box joins a session again that it is offered twice: what becomes of an offer need not outlive the machine.
      const isOffer = list.commands.some((one) => one.id === id && one.name === REMOTE_COMMAND);
      const durability = isOffer && current === held ? "relaxed" : "durable";
      return { ...writeList(held, list), answer, durability };
    });

  return {
    create: (boxId, command, context) => {
      const keys = [keyOf(boxes, boxId), keyOf(commandLists, boxId)] as const;
      return change(engine, { scope: `box/${boxId}`, keys, context }, ([box, held]) => {
        if (box === undefined) throw notFound("box", boxId);
        const { list, answer } = decideCreate(
          expireAll(held ?? emptyList(boxId), context.nowMs),
          command,
          context.nowMs,
          context.taker,
        );
        if (list === held) return { answer };
        const { puts = [], wakes = [], ...rest } = writeList(held, list);
        const due = putOf(deadlineKey(boxId, answer.deadlineMs), { boxId });
        return { ...rest, answer, puts: [...puts, due], wakes: [...wakes, boxTopic(boxId)] };
      });
    },
    take: (boxId, id, { taker, nowMs }) =>
      edit(boxId, { id, nowMs }, (list): Edit<Command | undefined> => {
        const command = list.commands.find((one) => one.id === id);
        if (command?.state === "taken" && command.takenBy === taker) return { list, answer: command };
        if (command?.state !== "waiting") return { list, answer: undefined };
        const taken: Command = { ...command, state: "taken", takenBy: taker, takenMs: nowMs };
        return { list: withCommand(list, taken), answer: taken };
      }),
    complete: (boxId, id, { ok, text, nowMs }) =>
      edit(boxId, { id, nowMs }, (list): Edit<Command> => {
        const command = list.commands.find((one) => one.id === id);
        if (command === undefined) throw notFound(`command of box ${boxId}`, id);
        if (!isOpen(command)) return { list, answer: command };
        const done = finished(command, { state: ok ? "done" : "failed", finishedMs: nowMs, answer: text });
        return { list: withCommand(list, done), answer: done };
      }),
    list: async (boxId, nowMs) => {
      const [held] = await engine.read([keyOf(commandLists, boxId)]);
      return held === undefined ? [] : expireAll(held, nowMs).commands;
    },
    expire: (boxId, nowMs) => expire(boxId, nowMs),
    expireDue: async (nowMs, limit) => {
      const { documents } = await engine.list(deadlines, { limit });
      const due = documents.filter(({ id }) => Number(id.slice(0, DEADLINE_DIGITS)) <= nowMs);
      for (const { id, body } of due) await expire(body.boxId, nowMs, keyOf(deadlines, id));
      return due.length;
    },
  };
}
