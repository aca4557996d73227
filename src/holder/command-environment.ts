import { AppError } from "../base/errors.ts";
import type { BoxUser } from "../contract/remote/remote-grant.ts";

/** Language, clock and terminal: they choose how a program speaks, and nothing that it does. */
const ALWAYS = /^(?:LANG|LANGUAGE|LC_[A-Z]+|TZ|COLORTERM|NO_COLOR|COLUMNS|LINES)$/;
const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
const MAX_BYTES = 128 * 1024;
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface EnvironmentWish {
  readonly given: Readonly<Record<string, string>>;
  /** Names that the box's policy allows, `*` for any ending. */
  readonly allowed: readonly string[];
  readonly user: BoxUser;
  readonly session: string;
  /** Of a terminal. */
  readonly term: string | undefined;
}

/**
 * What a command sees: nothing of the holder's own. What could make an allowed program do something else (`LD_PRELOAD`,
 * `BASH_ENV`, `GIT_SSH_COMMAND`, `PATH`, …) is not listed here, because no list of it could be whole: only what is allowed by name goes
 * in. Throws `refused` with the first name that is not.
 */
export function commandEnvironment(wish: EnvironmentWish): Record<string, string> {
  const { user, given, allowed } = wish;
  let bytes = 0;
  for (const [name, value] of Object.entries(given)) {
    bytes += name.length + Buffer.byteLength(value);
    if (!NAME.test(name) || value.includes("\0")) {
      throw new AppError(
        "invalid",
        `env: given ${JSON.stringify(name.slice(0, 128))}; allowed: letters, digits and _, with a value without NUL`,
      );
    }
    if (!ALWAYS.test(name) && !allowed.some((pattern) => matches(pattern, name))) {
      throw new AppError(
        "refused",
        `policy.remote.environment: given ${name}; allowed: language and terminal${allowed.map((one) => `, ${one}`).join("")}`,
      );
    }
  }
  if (bytes > MAX_BYTES) throw new AppError("too-large", `env: given ${bytes} bytes; allowed: ${MAX_BYTES}`);
  return {
    PATH,
    LANG: "C.UTF-8",
    HOME: user.home === "" ? "/" : user.home,
    USER: user.name,
    LOGNAME: user.name,
    SHELL: user.shell === "" ? "/bin/sh" : user.shell,
    ...given,
    // By this whoever looks at the box sees whose it is.
    SLUICE_REMOTE_SESSION: wish.session,
    ...(wish.term === undefined ? {} : { TERM: wish.term }),
  };
}

function matches(pattern: string, name: string): boolean {
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
}
