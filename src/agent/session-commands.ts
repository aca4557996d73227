import { AppError } from "../base/errors.ts";
import { parseSessionCommand, SESSION_COMMANDS, type SessionCommandName } from "../contract/session-command.ts";
import type { CommandAction } from "./command-runner.ts";
import type { CommandedStore } from "./reconcile/commanded-store.ts";

export interface SessionCommandsDeps {
  readonly commanded: Pick<CommandedStore, "take">;
  /** Somebody uses this session. False: nothing of that name runs here. */
  readonly touch: (sessionId: string) => boolean;
}

/** What a server that drives by command can ask of sessions. Each rejects with the one sentence that says why it did nothing. */
export function createSessionCommands(deps: SessionCommandsDeps): Readonly<Record<string, CommandAction>> {
  const actionOf =
    (name: SessionCommandName): CommandAction =>
    async (args, _signal, commandId) => {
      const parsed = parseSessionCommand(name, args);
      if ("problem" in parsed) throw new AppError("invalid", parsed.problem, { field: parsed.field });
      const { command } = parsed;
      if (command.name === "TouchSession") {
        if (!deps.touch(command.id)) throw new AppError("not-found", `no session ${command.id} runs on this box`);
        return "noted";
      }
      const { ok, text } = await deps.commanded.take(command, commandId);
      if (!ok) throw new AppError("conflict", text);
      return text;
    };
  return Object.fromEntries(SESSION_COMMANDS.map((name) => [name, actionOf(name)]));
}
