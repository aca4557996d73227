import { AppError, messageOf } from "../../base/errors.ts";
import type { RunProgram } from "../../base/spawn.ts";
import { type Check, ok, warn } from "./check.ts";

export interface TunnelToolDeps {
  readonly runProgram: RunProgram;
  readonly signal: AbortSignal;
}

const LIMITS = { timeoutMs: 10_000, maxOutputBytes: 65_536 };
/** `sessionResume` and everything else that the agent writes into a configuration are known from here on. */
const OLDEST = [5, 60] as const;
const ADVICE = "Tunnels need it; streams do not: apt-get install stunnel4, or name it in tunnels.stunnelPath.";

/** stunnel, and what it was built with. Without it this box is no end of any tunnel. */
export async function checkStunnel(path: string, { runProgram, signal }: TunnelToolDeps): Promise<Check> {
  try {
    const { stderr, stdout } = await runProgram(path, ["-version"], { ...LIMITS, signal });
    return judgeStunnel(path, `${stderr}\n${stdout}`);
  } catch (error) {
    return warn("stunnel", messageOf(error), ADVICE);
  }
}

export function judgeStunnel(path: string, text: string): Check {
  const [, major, minor] = /\bstunnel (\d+)\.(\d+)\S* on /.exec(text)?.map(Number) ?? [];
  if (major === undefined || minor === undefined) {
    return warn("stunnel", `${path} is not stunnel: it names no version`, ADVICE);
  }
  const version = `${major}.${minor}`;
  const lacks = ["PSK", "IPv6"].filter((feature) => !text.includes(feature));
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
    return warn(
      "stunnel",
      `${version} is too old`,
      `Tunnels need ${OLDEST.join(".")} or later; streams do not need it.`,
    );
  }
  if (lacks.length > 0) {
    return warn("stunnel", `${version}, without ${lacks.join(" and ")}`, "Tunnels that need these do not come up.");
  }
  const library = /\bwith (OpenSSL \S+)/.exec(text)?.[1];
  return ok("stunnel", library === undefined ? version : `${version} with ${library}`);
}

/** It makes the keys of tunnels. */
export async function checkOpenssl({ runProgram, signal }: TunnelToolDeps): Promise<Check> {
  const advice = "Tunnels with certificates need it, for their keys: apt-get install openssl.";
  try {
    const { stdout } = await runProgram("openssl", ["version"], { ...LIMITS, signal });
    const version = /^OpenSSL (\S+)/.exec(stdout)?.[1];
    if (version === undefined) throw new AppError("unavailable", "openssl names no version of OpenSSL");
    return ok("openssl", version);
  } catch (error) {
    return warn("openssl", messageOf(error), advice);
  }
}
