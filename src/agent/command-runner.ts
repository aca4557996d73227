import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Report } from "../contract/report.ts";
import type { WireEvent } from "../contract/wire-event.ts";

type Command = Extract<WireEvent, { kind: "command" }>;

export interface CommandRunnerDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** By name: does it, and resolves with what to tell. Must not wait for the network. */
  readonly commands: Readonly<Record<string, (args: Command["args"]) => Promise<string>>>;
  readonly onResult: (result: Report["commandResults"][number]) => void;
}

/** A server that repeats itself does so soon: this many ids are remembered. */
const REMEMBERED_IDS = 1000;

/** Does what a server asks for once: never twice for one id, never after its deadline, and always with an answer. */
export function createCommandRunner(deps: CommandRunnerDeps): { run(command: Command): Promise<void> } {
  const { clock } = deps;
  const seen = new Set<string>();

  const answer = (command: Command, ok: boolean, text: string) => {
    deps.log.info(`Command ${command.name} (${command.id}): ${ok ? "done" : text}`);
    deps.onResult({ id: command.id, ok, text, finishedAt: new Date(clock.wallMs()).toISOString() });
  };

  return {
    run: async (command) => {
      if (seen.has(command.id)) return;
      const [oldest] = seen;
      if (seen.size >= REMEMBERED_IDS && oldest !== undefined) seen.delete(oldest);
      seen.add(command.id);
      if (command.deadlineMs !== undefined && command.deadlineMs < clock.wallMs()) {
        answer(command, false, "it came after its deadline");
        return;
      }
      const action = Object.hasOwn(deps.commands, command.name) ? deps.commands[command.name] : undefined;
      if (action === undefined) {
        const known = Object.keys(deps.commands).join(", ");
        answer(command, false, `name: this agent has no such command; it has ${known}`);
        return;
      }
      try {
        answer(command, true, await action(command.args));
      } catch (thrown) {
        answer(command, false, messageOf(thrown));
      }
    },
  };
}
