import { z } from "zod";
import { sessionIdSchema, sessionSpecSchema, volumeRuleSchema } from "./session-spec.ts";
import { describeProblem } from "./wire-event-problem.ts";

/**
 * Commands for sessions, for servers that drive by command instead of by an expected set. Each wish for a session carries a
 * generation that is higher than those before it; the highest one counts, in whatever order they arrive. An activity call has none.
 */

const generation = z.int().min(1);
const wish = z.strictObject({ id: sessionIdSchema, generation });

export const SESSION_COMMAND_ARGS = {
  StartSession: z.strictObject({ spec: sessionSpecSchema, generation }),
  /** `volumes`: what becomes of them, whatever its spec says. */
  StopSession: wish.extend({ volumes: volumeRuleSchema.optional() }),
  HibernateSession: wish,
  WakeSession: wish,
  TouchSession: z.strictObject({ id: sessionIdSchema }),
} as const;

export type SessionCommandName = keyof typeof SESSION_COMMAND_ARGS;
export const SESSION_COMMANDS = [
  "StartSession",
  "StopSession",
  "HibernateSession",
  "WakeSession",
  "TouchSession",
] as const;

export type SessionCommand = {
  [Name in SessionCommandName]: { readonly name: Name } & Readonly<z.output<(typeof SESSION_COMMAND_ARGS)[Name]>>;
}[SessionCommandName];

export function isSessionCommand(name: string): name is SessionCommandName {
  return Object.hasOwn(SESSION_COMMAND_ARGS, name);
}

/** `problem`: the first one, as `args.spec.user: given …; allowed: …`. */
export function parseSessionCommand(
  name: SessionCommandName,
  args: Readonly<Record<string, unknown>>,
): { readonly command: SessionCommand } | { readonly problem: string; readonly field: string } {
  switch (name) {
    case "StartSession":
      return parsed(SESSION_COMMAND_ARGS.StartSession.safeParse(args), args, (data) => ({ name, ...data }));
    case "TouchSession":
      return parsed(SESSION_COMMAND_ARGS.TouchSession.safeParse(args), args, (data) => ({ name, ...data }));
    case "StopSession":
      return parsed(SESSION_COMMAND_ARGS.StopSession.safeParse(args), args, (data) => ({ name, ...data }));
    case "HibernateSession":
    case "WakeSession":
      return parsed(wish.safeParse(args), args, (data) => ({ name, ...data }));
  }
}

function parsed<Data>(
  result: z.ZodSafeParseResult<Data>,
  args: unknown,
  commandOf: (data: Data) => SessionCommand,
): ReturnType<typeof parseSessionCommand> {
  if (result.success) return { command: commandOf(result.data) };
  const problem = describeProblem(result.error, args, { prefix: ["args"] });
  return { problem, field: problem.slice(0, problem.indexOf(":")) };
}
