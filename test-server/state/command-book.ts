import type { Clock, Timer } from "../../src/base/clock.ts";
import type { Report } from "../../src/contract/report.ts";

/** How commands travel: as they should, or as a bad network and a bad server have them travel. */
export const COMMAND_DELIVERIES = ["once", "twice", "swapped", "late"] as const;
export type CommandDelivery = (typeof COMMAND_DELIVERIES)[number];

export interface SentCommand {
  readonly id: string;
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly deadlineMs: number;
}

export interface BookedCommand extends SentCommand {
  readonly sentAtMs: number;
  /** The last one that a report told. */
  readonly answer?: { readonly ok: boolean; readonly text: string; readonly box: string };
  /** Reports that told an answer. */
  readonly answers: number;
}

/** Commands that were sent, and what came back. */
export interface CommandBook {
  /**
   * Sends it by the delivery of now: `twice`; `swapped`: it waits for the next one and leaves after that; `late`: it leaves a
   * second after its deadline.
   */
  send(command: SentCommand): BookedCommand;
  heard(report: Pick<Report, "boxId" | "commandResults">): void;
  /** Oldest first. */
  list(): readonly BookedCommand[];
  onChange(listener: () => void): void;
  close(): void;
}

const LATE_MS = 1000;

export function createCommandBook(
  { keep }: { readonly keep: number },
  deps: {
    readonly clock: Clock;
    readonly delivery: () => CommandDelivery;
    /** Puts it on every connection. */
    readonly deliver: (command: SentCommand) => void;
  },
): CommandBook {
  const { clock, deliver } = deps;
  const booked = new Map<string, BookedCommand>();
  const listeners = new Set<() => void>();
  const timers = new Set<Timer>();
  let waiting: SentCommand | undefined;

  const put = (command: BookedCommand) => {
    booked.set(command.id, command);
    for (const id of [...booked.keys()].slice(0, -keep)) booked.delete(id);
    for (const listener of listeners) listener();
    return command;
  };

  const travel = (command: SentCommand) => {
    const delivery = deps.delivery();
    if (delivery === "swapped" && waiting === undefined) {
      waiting = command;
      return;
    }
    if (delivery === "late") {
      const timer = clock.timer(Math.max(0, command.deadlineMs - clock.wallMs()) + LATE_MS, () => {
        timers.delete(timer);
        deliver(command);
      });
      timers.add(timer);
      return;
    }
    deliver(command);
    if (delivery === "twice") deliver(command);
    const first = waiting;
    waiting = undefined;
    if (first !== undefined) deliver(first);
  };

  return {
    send: (command) => {
      const made = put({ answers: 0, ...booked.get(command.id), ...command, sentAtMs: clock.wallMs() });
      travel(command);
      return made;
    },
    heard: ({ boxId, commandResults }) => {
      for (const { id, ok, text } of commandResults) {
        const command = booked.get(id);
        if (command !== undefined) put({ ...command, answer: { ok, text, box: boxId }, answers: command.answers + 1 });
      }
    },
    list: () => [...booked.values()],
    onChange: (listener) => void listeners.add(listener),
    close: () => {
      for (const timer of timers) timer.clear();
    },
  };
}
