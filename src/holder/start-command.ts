import { accessSync, constants, statSync } from "node:fs";
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { PipePool } from "../base/pipe-pool.ts";
import { spawnPiped } from "../base/spawn-piped.ts";
import type { CommandGrant } from "../contract/remote/remote-grant.ts";
import type { ExecWhat } from "../remote/open-what.ts";
import { commandEnvironment } from "./command-environment.ts";
import type { RunningCommand } from "./running-command.ts";
import { type LoadedPty, startOnTerminal } from "./terminal.ts";

export interface StartDeps {
  /** `undefined`: this machine has none. */
  readonly pty: LoadedPty | undefined;
  readonly pipes: PipePool;
  readonly clock: Clock;
}

/** Throws `refused`: only what was offered, and judged, may be opened. */
export function requireAsked(what: ExecWhat, { asked }: CommandGrant): void {
  const isSame =
    what.argv.length === asked.argv.length &&
    what.argv.every((argument, index) => argument === asked.argv[index]) &&
    what.user === asked.user &&
    what.cwd === asked.cwd;
  if (!isSame)
    throw new AppError("refused", "this session was opened for another command: only that one may run in it");
  if ((what.pty !== undefined) !== asked.pty) {
    throw new AppError("refused", `this session was opened for a command ${asked.pty ? "on" : "without"} a terminal`);
  }
}

/**
 * Rejects with `not-found` (a shell's 127), `refused` (its 126), `unsupported` without a terminal, `exhausted`: so that none of
 * these is taken for the exit of a program.
 */
export async function startCommand(
  what: ExecWhat,
  { grant, session }: { readonly grant: CommandGrant; readonly session: string },
  { pty, pipes, clock }: StartDeps,
): Promise<RunningCommand> {
  const env = commandEnvironment({
    given: what.env,
    allowed: grant.environment,
    user: grant.user,
    session,
    term: what.pty?.term === "" ? "xterm-256color" : what.pty?.term,
  });
  requireProgram(grant.launch.file);
  const launch = asUser(grant, what.pty !== undefined);
  if (what.pty !== undefined) {
    if (pty === undefined) {
      throw new AppError(
        "unsupported",
        "this box has no terminals: the package @lydell/node-pty was not installed with Sluice; commands without a terminal work",
      );
    }
    return startOnTerminal({ ...launch, env, cwd: grant.cwd, size: what.pty }, { pty, clock });
  }
  const { uid, gid, isOther } = grant.user;
  const child = await spawnPiped(
    { ...launch, env, cwd: grant.cwd, hasInput: what.stdin, owner: isOther ? { uid, gid } : undefined },
    pipes,
  );
  return {
    pid: child.pid,
    input: child.input,
    output: child.output,
    errors: child.errors,
    exited: child.exited,
    resize: () => undefined,
  };
}

/** Before anything is begun, because who starts it for another user could only say so by an exit code. */
function requireProgram(file: string): void {
  if (!file.startsWith("/"))
    throw new AppError("not-found", `cannot start ${file}: there is no such program on this box`);
  const found = statSync(file, { throwIfNoEntry: false });
  if (found === undefined) throw new AppError("not-found", `cannot start ${file}: there is no such file on this box`);
  if (!found.isFile()) throw new AppError("refused", `cannot start ${file}: it is no file`);
  try {
    accessSync(file, constants.X_OK);
  } catch (cause) {
    throw new AppError("refused", `cannot start ${file}: it is not executable`, { cause });
  }
}

const SETPRIV = "/usr/bin/setpriv";

interface Launch {
  readonly file: string;
  readonly argv0: string;
  readonly args: readonly string[];
}

/**
 * Node can change user and group, and would leave the other groups of that user out; `setpriv` takes all of them from the box's
 * own list and is of every distribution's base.
 */
function asUser({ launch, user }: CommandGrant, isTerminal: boolean): Launch {
  // Whoever starts it gives the program no other name there: a login shell is then asked for by its option.
  const isNamed = !user.isOther && !isTerminal;
  const login = launch.argv0.startsWith("-") && !isNamed ? ["-l"] : [];
  const args = [...login, ...launch.args];
  if (!user.isOther) return { ...launch, args };
  const identity = ["--reuid", String(user.uid), "--regid", String(user.gid), "--init-groups", "--inh-caps=-all"];
  return { file: SETPRIV, argv0: "setpriv", args: [...identity, "--", launch.file, ...args] };
}
