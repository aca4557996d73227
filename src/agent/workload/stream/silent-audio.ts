import { AppError } from "../../../base/errors.ts";
import type { RunProgram } from "../../../base/spawn.ts";
import { audioOf } from "./ffmpeg-arguments.ts";
import { type ArgumentDialect, probeInputArguments } from "./input-arguments.ts";
import { type AdmittedOutput, type AdmittedStream, isHostMatch } from "./stream-admission.ts";
import { parseTestSource } from "./test-source.ts";

/** Ingests that show nothing, or cut the stream, while there is no sound. */
const HOSTS_THAT_NEED_AUDIO = ["*.youtube.com", "*.facebook.com", "*.fbcdn.net"];
const PROBE_TIMEOUT_MS = 10_000;
const PROBE_OUTPUT_BYTES = 64 * 1024;

export type SilenceDecision = "never" | "always" | "if-input-is-silent";

/** Whether a silent track must stand in, as far as the spec alone can tell. */
export function silenceDecision(stream: AdmittedStream): SilenceDecision {
  if (!stream.outputs.some(needsAudio)) return "never";
  if (audioOf(stream) === "none") return "always";
  if (stream.input.scheme !== "test") return "if-input-is-silent";
  const test = parseTestSource(stream.input);
  return test.ok && test.source.toneHz === 0 ? "always" : "never";
}

function needsAudio({ options, url }: AdmittedOutput): boolean {
  return options.needsAudio ?? HOSTS_THAT_NEED_AUDIO.some((pattern) => isHostMatch(pattern, url.host));
}

export interface AudioProbe {
  readonly stream: AdmittedStream;
  readonly dialect: ArgumentDialect;
  readonly ffprobePath: string;
  readonly signal: AbortSignal;
}

/**
 * Asks the input itself, for 10 s at most. Rejects with `unavailable` when the input does not answer: then nobody knows,
 * and a guess would be wrong half of the time.
 */
export async function hasAudio(probe: AudioProbe, runProgram: RunProgram): Promise<boolean> {
  const args = [
    ...["-hide_banner", "-loglevel", "level+error"],
    ...probeInputArguments(probe.stream, probe.dialect),
    ...["-show_entries", "stream=codec_type", "-of", "csv=p=0"],
  ];
  const { signal } = probe;
  const result = await runProgram(probe.ffprobePath, args, {
    timeoutMs: PROBE_TIMEOUT_MS,
    maxOutputBytes: PROBE_OUTPUT_BYTES,
    signal,
  });
  const tracks = result.stdout.split(/\s+/).filter((word) => word !== "");
  if (result.code === 0 && tracks.length > 0) return tracks.includes("audio");
  // Its messages name the input's URL: the caller's redactor knows those secrets, a bare error does not.
  const why = result.timedOut ? `no answer within ${PROBE_TIMEOUT_MS / 1000} s` : `ffprobe ended with ${result.code}`;
  throw new AppError("unavailable", `input.url: cannot tell whether it has sound: ${why}`, { field: "input.url" });
}
