import { AppError } from "../../../base/errors.ts";
import type { RunProgram } from "../../../base/spawn.ts";
import type { ArgumentDialect } from "./input-arguments.ts";

/** What this box's FFmpeg is and can do. */
export interface FfmpegCapabilities {
  readonly path: string;
  /** As it names itself: `5.1.9-0+deb12u1`, `n7.1`, `N-109542-g…`. */
  readonly version: string;
  readonly encoders: readonly string[];
  readonly protocols: { readonly input: readonly string[]; readonly output: readonly string[] };
  readonly muxers: readonly string[];
  readonly dialect: ArgumentDialect;
}

const TIMEOUT_MS = 10_000;
const OUTPUT_BYTES = 512 * 1024;

/** Rejects with `not-found` when there is no such program, with `unavailable` when it does not answer as FFmpeg does. */
export async function readFfmpegCapabilities(
  path: string,
  runProgram: RunProgram,
  signal?: AbortSignal,
): Promise<FfmpegCapabilities> {
  const ask = async (...args: string[]): Promise<string> => {
    const result = await runProgram(path, ["-hide_banner", ...args], {
      timeoutMs: TIMEOUT_MS,
      maxOutputBytes: OUTPUT_BYTES,
      ...(signal === undefined ? {} : { signal }),
    });
    if (result.code === 0) return result.stdout;
    const why = result.timedOut ? `no answer within ${TIMEOUT_MS / 1000} s` : `exit ${result.code ?? result.signal}`;
    throw new AppError("unavailable", `${path} ${args.join(" ")} failed: ${why}`);
  };
  const version = parseVersion(await ask("-version"));
  if (version === undefined) throw new AppError("unavailable", `${path} is not FFmpeg: it names no version`);
  const [encoders, protocols, muxers, rtspOptions] = await Promise.all([
    ask("-encoders"),
    ask("-protocols"),
    ask("-muxers"),
    ask("-h", "demuxer=rtsp"),
  ]);
  return {
    path,
    version,
    encoders: parseFlaggedNames(encoders),
    protocols: parseProtocols(protocols),
    muxers: parseFlaggedNames(muxers).flatMap((names) => names.split(",")),
    dialect: {
      rtspTimeoutOption: /^\s*-stimeout\s/m.test(rtspOptions) ? "stimeout" : "timeout",
      hasStatsPeriod: isAtLeast(version, [4, 4]),
    },
  };
}

export function parseVersion(text: string): string | undefined {
  return /^ffmpeg version (\S+)/m.exec(text)?.[1];
}

/** Lists of `-encoders` and `-muxers`: after a rule of dashes, ` FLAGS name description` a line. */
export function parseFlaggedNames(text: string): string[] {
  return (text.split(/^ -{2,}\s*$/m)[1] ?? "").split("\n").flatMap((line) => {
    const name = /^ [A-Z. ]{2,7}\s(\S+)/.exec(line)?.[1];
    return name === undefined ? [] : [name];
  });
}

export function parseProtocols(text: string): FfmpegCapabilities["protocols"] {
  const [inputs = "", outputs = ""] = (text.split(/^Input:$/m)[1] ?? "").split(/^Output:$/m);
  const names = (list: string) => list.split(/\s+/).filter((name) => name !== "");
  return { input: names(inputs), output: names(outputs) };
}

/** A version without a number (a build from its repository) counts as new. */
function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const numbers = /^n?(\d+)\.(\d+)/.exec(version);
  if (numbers === null) return true;
  const found = Number(numbers[1]);
  return found > major || (found === major && Number(numbers[2]) >= minor);
}
