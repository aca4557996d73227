import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { type Service, untilAborted } from "../base/service.ts";
import type { WireEvent } from "../contract/wire-event.ts";
import type { CommandJournal, CommandResult } from "./registry/command-journal.ts";

type Command = Extract<WireEvent, { kind: "command" }>;

/** Does it, and resolves with what to tell. The signal ends with the agent. */
export type CommandAction = (args: Command["args"], signal: AbortSignal, commandId: string) => Promise<string>;

export interface CommandRunnerDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly commands: Readonly<Record<string, CommandAction>>;
  readonly journal: CommandJournal;
  /** What a command did that an earlier agent began and did not answer, where that left a trace that cannot be missed. */
  readonly traceOf?: (name: string, id: string) => CommandTrace | undefined;
  /** Commands that are on disk as begun, by themselves, before they do anything, and may be asked for again: the journal holds them in memory alone. They log what they have done, too. */
  readonly recordsItself?: (name: string) => boolean;
  /** Now, by the clock of who set the deadline: this machine's own may be years off. */
  readonly serverNowMs: () => number;
  readonly onResult: (result: CommandResult) => void;
}

/** `text`: what came of it. Without one it is certain that nothing did. */
export interface CommandTrace {
  readonly text?: string | undefined;
}

/**
 * Does what a server asks for: at most once for an id, whatever is repeated, reordered or cut off, never after its deadline, and
 * always with an answer.
 */
export interface CommandRunner extends Service {
  /** Resolves when the command is in the journal; what it does goes on behind that. */
  take(command: Command): Promise<void>;
}

const MAX_RUNNING = 16;
const MAX_TEXT_CHARACTERS = 4000;
const EXPIRED = "it came after its deadline and was not done";
const NOT_DONE = "the agent ended before it did this; nothing came of it, and it is not done again";
const CUT_OFF = "the agent ended while it did this; whether it was done is not known, and it is not done again";

export function createCommandRunner(deps: CommandRunnerDeps): CommandRunner {
  const { clock, commands, journal } = deps;
  const life = new AbortController();
  const running = new Map<string, Promise<void>>();

  const answer = ({ id, name }: Pick<Command, "id" | "name">, ok: boolean, text: string) => {
    const say = ok && deps.recordsItself?.(name) === true ? deps.log.debug : deps.log.info;
    say(`Command ${name} (${id}): ${ok ? "done" : text}`);
    const finishedAt = new Date(clock.wallMs()).toISOString();
    const result = { id, ok, text: text.slice(0, MAX_TEXT_CHARACTERS), finishedAt };
    journal.finish(result, name);
    deps.onResult(result);
  };

  const isLate = ({ deadlineMs }: Command) => deadlineMs !== undefined && deadlineMs <= deps.serverNowMs();

  /** Why it is not even begun. */
  const refusalOf = (command: Command): string | undefined => {
    if (isLate(command)) return EXPIRED;
    if (!Object.hasOwn(commands, command.name)) {
      return `name: this agent has no such command; it has ${Object.keys(commands).join(", ")}`;
    }
    return running.size < MAX_RUNNING ? undefined : `${MAX_RUNNING} commands are being done already; it takes no more`;
  };

  const act = async (command: Command) => {
    try {
      answer(command, true, (await commands[command.name]?.(command.args, life.signal, command.id)) ?? "");
    } catch (thrown) {
      // What the end of the agent cut off is answered by the next one: it cannot know more.
      if (!life.signal.aborted) answer(command, false, messageOf(thrown));
    } finally {
      running.delete(command.id);
    }
  };

  const answerCutOff = (command: Pick<Command, "id" | "name">) => {
    const trace = deps.traceOf?.(command.name, command.id);
    if (trace === undefined) answer(command, false, CUT_OFF);
    else answer(command, trace.text !== undefined, trace.text ?? NOT_DONE);
  };

  return {
    name: "commands",
    take: async (command) => {
      const known = journal.get(command.id);
      if (known !== undefined) {
        // The answer may have been lost, and the hub asks no more once it has it.
        if (known.result !== undefined) deps.onResult(known.result);
        return;
      }
      const refusal = refusalOf(command);
      if (refusal !== undefined) return answer(command, false, refusal);
      // Before anything is done: an agent that is killed in the middle must not begin it again.
      if (deps.recordsItself?.(command.name) === true) journal.note(command.id, command.name);
      else await journal.begin(command.id, command.name);
      // A slow disk may have taken until after it.
      if (isLate(command)) return answer(command, false, EXPIRED);
      running.set(command.id, act(command));
    },
    run: async (signal) => {
      for (const { id, name, result, isTold } of journal.loaded) {
        if (result === undefined) answerCutOff({ id, name });
        else if (!isTold) deps.onResult(result);
      }
      await untilAborted(signal);
      life.abort(signal.reason);
      await Promise.all(running.values());
      await journal.commit();
    },
  };
}
