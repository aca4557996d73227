import { AppError } from "../../base/errors.ts";
import { maskWorkload } from "../../contract/mask-workload.ts";
import { shortenOffer } from "../../contract/remote/mask-offer.ts";
import { REMOTE_COMMAND } from "../../contract/remote/offer.ts";

/**
 * Something a box is asked to do once. Times are wall time in milliseconds.
 * - `waiting`: nobody has sent it yet;
 * - `taken`: a hub sends it, or has sent it;
 * - `done`, `failed`: the box has answered;
 * - `expired`: its deadline passed before the box answered;
 * - `replaced`: a later generation with the same `key` came before it was taken.
 */
export interface Command extends NewCommand {
  readonly boxId: string;
  /** Grows by one with each command of the box. */
  readonly generation: number;
  readonly state: "waiting" | "taken" | "done" | "failed" | "expired" | "replaced";
  readonly createdMs: number;
  readonly takenBy?: string;
  readonly takenMs?: number;
  readonly finishedMs?: number;
  /** What the box answered, or why it never could. */
  readonly answer?: string;
}

export interface NewCommand {
  /** Made by whoever asks: asking twice with one id asks once. */
  readonly id: string;
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly deadlineMs: number;
  /** What it acts on. Of those that wait with the same key only the latest is carried out. */
  readonly key?: string | undefined;
  /** What comes of it is written into the audit log too. */
  readonly isAudited?: boolean | undefined;
}

/** The document of a box. Oldest first. */
export interface BoxCommands {
  readonly boxId: string;
  readonly lastGeneration: number;
  readonly commands: readonly Command[];
}

export const OPEN_COMMANDS = 256;
export const FINISHED_KEPT = 200;
/** Of offers of remote sessions, which have a record of their own: the list is read and written whole with each command. */
export const FINISHED_OFFERS_KEPT = 8;

export interface Edit<Answer> {
  readonly list: BoxCommands;
  readonly answer: Answer;
}

/** Pure. `taker`: who has it from the beginning, so that nobody else takes it. */
export function decideCreate(list: BoxCommands, asked: NewCommand, nowMs: number, taker?: string): Edit<Command> {
  const known = list.commands.find(({ id }) => id === asked.id);
  if (known !== undefined) return { list, answer: known };
  if (asked.deadlineMs <= nowMs) {
    throw new AppError("invalid", `the deadline of command ${asked.id} has passed already; it must lie ahead`, {
      field: "deadline",
    });
  }
  if (list.commands.filter(isOpen).length >= OPEN_COMMANDS) {
    throw new AppError("exhausted", `${OPEN_COMMANDS} commands wait for box ${list.boxId} already; it takes no more`);
  }
  const generation = list.lastGeneration + 1;
  const made: Command = {
    ...asked,
    boxId: list.boxId,
    generation,
    createdMs: nowMs,
    ...(taker === undefined ? { state: "waiting" } : { state: "taken", takenBy: taker, takenMs: nowMs }),
  };
  const others = list.commands.map((command) =>
    asked.key !== undefined && command.key === asked.key && command.state === "waiting"
      ? finished(command, { state: "replaced", finishedMs: nowMs, answer: `replaced by ${asked.id}` })
      : command,
  );
  return { list: { ...list, lastGeneration: generation, commands: [...others, made] }, answer: made };
}

/** Pure. The same list when nothing expires. */
export function expireAll(list: BoxCommands, nowMs: number): BoxCommands {
  if (!list.commands.some((command) => isOpen(command) && command.deadlineMs <= nowMs)) return list;
  const commands = list.commands.map((command): Command => {
    if (!isOpen(command) || command.deadlineMs > nowMs) return command;
    const answer = command.state === "taken" ? "no answer before the deadline" : "not sent before the deadline";
    return finished(command, { state: "expired", finishedMs: command.deadlineMs, answer });
  });
  return { ...list, commands };
}

/** Nobody needs its secrets any more. */
export function finished(command: Command, end: Required<Pick<Command, "state" | "finishedMs" | "answer">>): Command {
  return { ...command, ...end, args: shortenOffer(command.name, maskWorkload(command.args)) };
}

export function isOpen({ state }: Command): boolean {
  return state === "waiting" || state === "taken";
}

export function withCommand(list: BoxCommands, next: Command): BoxCommands {
  return { ...list, commands: list.commands.map((command) => (command.id === next.id ? next : command)) };
}

export function pruned(list: BoxCommands): BoxCommands {
  const finished = list.commands.filter((command) => !isOpen(command));
  const offers = finished.filter(({ name }) => name === REMOTE_COMMAND);
  const others = finished.filter(({ name }) => name !== REMOTE_COMMAND);
  const old = [...oldest(offers, FINISHED_OFFERS_KEPT), ...oldest(others, FINISHED_KEPT)];
  const dropped = new Set(old.map(({ id }) => id));
  return dropped.size === 0 ? list : { ...list, commands: list.commands.filter(({ id }) => !dropped.has(id)) };
}

/** Those that are too many. */
function oldest(commands: readonly Command[], kept: number): readonly Command[] {
  return commands.slice(0, Math.max(0, commands.length - kept));
}

export function emptyList(boxId: string): BoxCommands {
  return { boxId, lastGeneration: 0, commands: [] };
}
