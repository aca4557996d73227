import { AppError } from "../../base/errors.ts";
import type { RunProgram } from "../../base/spawn.ts";
import type { MediaToolFacts } from "../command-context.ts";

/** What streams may need of FFmpeg, in the words of its own lists, and what for. */
const WANTED = [
  { list: "-protocols", name: "rtmp", purpose: "rtmp:// addresses" },
  { list: "-protocols", name: "rtmps", purpose: "rtmps:// addresses" },
  { list: "-protocols", name: "srt", purpose: "srt:// addresses" },
  { list: "-protocols", name: "https", purpose: "https:// addresses" },
  { list: "-demuxers", name: "rtsp", purpose: "rtsp:// inputs" },
  { list: "-demuxers", name: "lavfi", purpose: "test:// inputs" },
  { list: "-muxers", name: "tee", purpose: "several outputs" },
  { list: "-encoders", name: "libx264", purpose: "encoding video" },
  { list: "-encoders", name: "aac", purpose: "encoding audio" },
] as const;

const LIMITS = { timeoutMs: 10_000, maxOutputBytes: 1024 * 1024 } as const;

/** Asks FFmpeg or ffprobe for its version, and FFmpeg for what it was built with. Rejects when it cannot be run. */
export async function probeMediaTool(
  file: string,
  runProgram: RunProgram,
  signal: AbortSignal,
): Promise<MediaToolFacts> {
  const ask = async (argument: string) => {
    const result = await runProgram(file, ["-hide_banner", argument], { ...LIMITS, signal });
    if (result.code === 0) return result.stdout;
    const how = result.timedOut ? "gave no answer in 10 s" : `exited with ${result.code ?? result.signal}`;
    throw new AppError("unavailable", `${file} ${argument} ${how}: ${result.stderr.trim().split("\n").at(-1) ?? ""}`);
  };
  const version = parseVersion(await ask("-version"));
  if (version.startsWith("ffprobe")) return { version, lacks: [] };
  const lists = new Map<string, ReadonlySet<string>>();
  for (const { list } of WANTED) if (!lists.has(list)) lists.set(list, parseNames(await ask(list)));
  const lacks = WANTED.filter(({ list, name }) => lists.get(list)?.has(name) !== true);
  return { version, lacks: lacks.map(({ name, purpose }) => `${name} (${purpose})`) };
}

/** `ffmpeg version 5.1.9-0+deb12u1 Copyright …` → `ffmpeg 5.1.9-0+deb12u1` */
export function parseVersion(text: string): string {
  const [, program, version] = /^(\w+) version (\S+)/.exec(text) ?? [];
  return version === undefined ? "an unknown version" : `${program} ${version}`;
}

/** Names in one of FFmpeg's lists: alone on a line (`  rtmp`) or after flags (` V....D libx264  …`, ` D  rtsp …`). */
export function parseNames(text: string): ReadonlySet<string> {
  const names = new Set<string>();
  for (const line of text.split("\n")) {
    const [, alone, flagged] = /^\s+(?:([\w.]+)|[A-Z.][A-Z. ]* ([\w.,]+)(?:\s.*)?)\s*$/.exec(line) ?? [];
    for (const name of (alone ?? flagged ?? "").split(",")) if (name !== "") names.add(name);
  }
  return names;
}
