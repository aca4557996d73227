import { AppError } from "../../base/errors.ts";
import type { Environment } from "../../config/state-directory.ts";
import type { RemoteOperation } from "../../contract/remote/operation.ts";
import type { ExecWhat } from "../../remote/open-what.ts";
import type { HubFlags } from "../hub-session.ts";
import type { RawTerminal } from "./console.ts";

/** Flags that say what runs, and how its streams are. */
export interface ExecFlags extends HubFlags {
  readonly interactive?: boolean;
  readonly tty?: boolean;
  /** False with `--no-stdin`. */
  readonly stdin?: boolean;
  readonly user?: string;
  readonly cwd?: string;
  readonly env?: readonly string[];
  readonly detach?: boolean;
}

export interface ExecPlan {
  readonly operation: RemoteOperation;
  readonly what: ExecWhat;
}

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * Without a command: the user's login shell. `terminal`: the one that a person sits at. Throws `invalid`. Pure.
 */
export function planExec(
  flags: ExecFlags,
  argv: readonly string[],
  given: { readonly env: Environment; readonly terminal: RawTerminal | undefined; readonly isInputTerminal: boolean },
): ExecPlan {
  const isShell = argv.length === 0;
  const { user, cwd, detach = false } = flags;
  const wantsTerminal = flags.tty === true || (isShell && given.terminal !== undefined);
  if (wantsTerminal && given.terminal === undefined) {
    throw new AppError("invalid", "-t: standard input and output must be a terminal; leave -t out for clean streams");
  }
  if (detach && (wantsTerminal || flags.interactive === true)) {
    throw new AppError(
      "invalid",
      "--detach: a command that is left alone has no terminal and no input; leave out -i, -t",
    );
  }
  if (detach && isShell) throw new AppError("invalid", "--detach: name the command that is to go on");
  const env = parseVariables(flags.env ?? [], given.env);
  const pty = wantsTerminal ? given.terminal : undefined;
  // A terminal that nobody asked to be read would hang a command that reads to the end.
  const isReadable = wantsTerminal || flags.interactive === true || !given.isInputTerminal;
  const common = { ...(user === undefined ? {} : { user }), ...(cwd === undefined ? {} : { cwd }) };
  const operation: RemoteOperation = isShell
    ? { kind: "shell", pty: pty !== undefined, ...common }
    : {
        kind: "exec",
        argv: [...argv],
        pty: pty !== undefined,
        detach,
        ...common,
      };
  return {
    operation,
    what: {
      kind: "exec",
      argv,
      env,
      cwd,
      user,
      pty: pty === undefined ? undefined : { term: pty.type, ...pty.size() },
      stdin: flags.stdin !== false && !detach && isReadable,
    },
  };
}

/** `NAME=VALUE`, or `NAME` for the value that it has here. Throws `invalid`. Pure. */
export function parseVariables(texts: readonly string[], env: Environment): Readonly<Record<string, string>> {
  const variables: Record<string, string> = {};
  for (const text of texts) {
    const at = text.indexOf("=");
    const name = at < 0 ? text : text.slice(0, at);
    const value = at < 0 ? env[name] : text.slice(at + 1);
    if (!VARIABLE.test(name)) {
      throw new AppError(
        "invalid",
        `--env: given ${JSON.stringify(name)}; allowed: NAME=VALUE, or the NAME of a variable that is set here`,
      );
    }
    if (value === undefined) throw new AppError("invalid", `--env: ${name} is not set here; allowed: ${name}=VALUE`);
    variables[name] = value;
  }
  return variables;
}
