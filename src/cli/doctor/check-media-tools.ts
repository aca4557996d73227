import { AppError, messageOf } from "../../base/errors.ts";
import type { RunProgram } from "../../base/spawn.ts";
import { type Check, fail, ok, warn } from "./check.ts";

/** What an FFmpeg is and was built with, as the agent's driver reads it. */
export interface FfmpegFacts {
  readonly version: string;
  readonly encoders: readonly string[];
  readonly protocols: { readonly input: readonly string[]; readonly output: readonly string[] };
  readonly muxers: readonly string[];
}

export type ReadFfmpeg = (path: string, runProgram: RunProgram, signal: AbortSignal) => Promise<FfmpegFacts>;

interface Wanted {
  readonly name: string;
  readonly purpose: string;
  readonly of: (facts: FfmpegFacts) => readonly string[];
}

const WANTED: readonly Wanted[] = [
  { name: "rtmp", purpose: "rtmp addresses", of: ({ protocols }) => protocols.output },
  { name: "rtmps", purpose: "rtmps addresses", of: ({ protocols }) => protocols.output },
  { name: "srt", purpose: "srt addresses", of: ({ protocols }) => protocols.output },
  { name: "https", purpose: "https addresses", of: ({ protocols }) => protocols.input },
  { name: "rtsp", purpose: "rtsp outputs", of: ({ muxers }) => muxers },
  { name: "hls", purpose: "HLS outputs", of: ({ muxers }) => muxers },
  { name: "tee", purpose: "several outputs of one stream", of: ({ muxers }) => muxers },
  { name: "libx264", purpose: "encoding video", of: ({ encoders }) => encoders },
  { name: "aac", purpose: "encoding audio", of: ({ encoders }) => encoders },
];

export interface MediaToolDeps {
  readonly readFfmpeg: ReadFfmpeg;
  readonly runProgram: RunProgram;
  readonly signal: AbortSignal;
}

export async function checkFfmpeg(path: string, { readFfmpeg, runProgram, signal }: MediaToolDeps): Promise<Check> {
  try {
    return judgeFfmpeg(await readFfmpeg(path, runProgram, signal));
  } catch (error) {
    return cannotRun("ffmpeg", error);
  }
}

export function judgeFfmpeg(facts: FfmpegFacts): Check {
  const lacks = WANTED.filter(({ name, of }) => !of(facts).includes(name));
  if (lacks.length === 0) return ok("ffmpeg", `${facts.version}, with all that streams may need`);
  const names = lacks.map(({ name, purpose }) => `${name} (${purpose})`).join(", ");
  return warn("ffmpeg", `${facts.version}; lacks ${names}`, "Streams that need these fail; the others work.");
}

export async function checkFfprobe(path: string, { runProgram, signal }: MediaToolDeps): Promise<Check> {
  try {
    const result = await runProgram(path, ["-version"], { timeoutMs: 10_000, maxOutputBytes: 65_536, signal });
    const version = /^ffprobe version (\S+)/.exec(result.stdout)?.[1];
    if (version === undefined) throw new AppError("unavailable", `${path} is not ffprobe: it names no version`);
    return ok("ffprobe", version);
  } catch (error) {
    return cannotRun("ffprobe", error);
  }
}

function cannotRun(name: "ffmpeg" | "ffprobe", error: unknown): Check {
  return fail(name, messageOf(error), `Install it (apt-get install ffmpeg), or name it in streams.${name}Path.`);
}
