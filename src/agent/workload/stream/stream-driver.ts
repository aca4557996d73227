import { AppError } from "../../../base/errors.ts";
import type { RunProgram } from "../../../base/spawn.ts";
import type { AgentOptions, StreamPolicy } from "../../../config/agent-options.ts";
import { describeStream } from "../../../contract/describe-spec.ts";
import { parseRecordingPath } from "../../../contract/recording-name.ts";
import { streamSecrets } from "../../../contract/stream-secrets.ts";
import type { StreamSpec } from "../../../contract/stream-spec.ts";
import { parseStreamUrl } from "../../../contract/stream-url.ts";
import type { StreamWorkload } from "../../../contract/workload.ts";
import type { StopLadder } from "../../runtime/run-handle.ts";
import type { WorkloadDriver } from "../driver.ts";
import { specHash } from "../spec-hash.ts";
import { classifyExit } from "./exit-class.ts";
import { audioOf, ffmpegArguments, videoOf } from "./ffmpeg-arguments.ts";
import { type FfmpegCapabilities, readFfmpegCapabilities } from "./ffmpeg-capabilities.ts";
import { isFiniteInput } from "./output-kind.ts";
import { createProgressProbe } from "./progress-probe.ts";
import { pruneRecordings } from "./recording-pruner.ts";
import { hasAudio, silenceDecision } from "./silent-audio.ts";
import { type AdmittedStream, admitStream } from "./stream-admission.ts";
import { streamClaims } from "./stream-claims.ts";
import type { StreamDisk } from "./stream-disk.ts";

export interface StreamDriverOptions {
  readonly streams: Pick<AgentOptions["streams"], "ffmpegPath" | "ffprobePath" | "startDeadlineMs" | "update">;
  readonly policy: StreamPolicy;
}

export interface StreamDriverDeps {
  readonly runProgram: RunProgram;
  readonly disk: StreamDisk;
}

/**
 * FFmpeg writes its trailer and exits 255 on the first signal. One that is blocked in a write ignores the first and obeys
 * the second; a fourth would make it exit without a trailer, so after two there is only SIGKILL, for the whole group.
 */
export const STREAM_STOP_LADDER: StopLadder = [
  { signal: "SIGTERM", graceMs: 4000, toGroup: false },
  { signal: "SIGTERM", graceMs: 3000, toGroup: false },
  { signal: "SIGKILL", graceMs: 2000, toGroup: true },
];

/** Answers about sound that are remembered; the oldest goes first. */
const REMEMBERED_PROBES = 1000;

export function createStreamDriver(
  options: StreamDriverOptions,
  deps: StreamDriverDeps,
): WorkloadDriver<StreamWorkload> {
  const { streams, policy } = options;
  const { disk, runProgram } = deps;
  const soundByHash = new Map<string, boolean>();
  /** Every report asks for all of them. */
  const descriptions = new WeakMap<StreamSpec, string>();
  let capabilities: FfmpegCapabilities | undefined;
  let asking: Promise<FfmpegCapabilities> | undefined;

  /** All launches that need it at one time share one asking. It outlives each of them, and ends by its own time limits. */
  const readCapabilities = (): Promise<FfmpegCapabilities> => {
    asking ??= readFfmpegCapabilities(streams.ffmpegPath, runProgram)
      .then((found) => {
        capabilities = found;
        return found;
      })
      .finally(() => {
        asking = undefined;
      });
    return asking;
  };

  /** Asks again before it refuses: FFmpeg may have been upgraded under the running agent. */
  const requireEncoders = async (stream: AdmittedStream): Promise<FfmpegCapabilities> => {
    const known = capabilities ?? (await readCapabilities());
    if (missingEncoder(stream, known) === undefined) return known;
    const fresh = await readCapabilities();
    const missing = missingEncoder(stream, fresh);
    if (missing === undefined) return fresh;
    const { field, encoder } = missing;
    throw new AppError("invalid", `${field}: ${fresh.path} ${fresh.version} has no encoder ${encoder}`, { field });
  };

  const mustAddSilence = async (
    stream: AdmittedStream,
    dialect: FfmpegCapabilities["dialect"],
    signal: AbortSignal,
  ) => {
    const decision = silenceDecision(stream);
    if (decision !== "if-input-is-silent") return decision === "always";
    const hash = specHash(stream.spec);
    const remembered = soundByHash.get(hash);
    if (remembered !== undefined) return !remembered;
    const found = await hasAudio({ stream, dialect, ffprobePath: streams.ffprobePath, signal }, runProgram);
    const [oldest] = soundByHash.keys();
    if (soundByHash.size >= REMEMBERED_PROBES && oldest !== undefined) soundByHash.delete(oldest);
    soundByHash.set(hash, found);
    return !found;
  };

  return {
    kind: "stream",
    stopLadder: STREAM_STOP_LADDER,
    startDeadlineMs: streams.startDeadlineMs,
    admit: ({ spec }) => admitStream(spec, policy, disk).refusal,
    specHash: ({ spec }) => specHash(whatRuns(spec)),
    claims: ({ spec }) => streamClaims(spec, policy),
    mayOverlap: ({ spec }) => streams.update === "auto" && spec.update !== "replace",
    describe: ({ spec }) => {
      const description = descriptions.get(spec) ?? describeStream(spec);
      descriptions.set(spec, description);
      return description;
    },
    secrets: ({ spec, id }) => streamSecrets(spec, id),
    prepare: async ({ spec }, files, signal) => {
      const { stream, refusal } = admitStream(spec, policy, disk);
      if (refusal !== undefined) throw new AppError("refused", refusal.message, { field: refusal.rule });
      const { dialect } = await requireEncoders(stream);
      signal.throwIfAborted();
      const addSilence = await mustAddSilence(stream, dialect, signal);
      makeRoomForFiles(stream, disk);
      const args = ffmpegArguments({ stream, dialect, addSilence, previewPath: files.previewPath });
      return { file: streams.ffmpegPath, args, env: {} };
    },
    openProbe: (files) => createProgressProbe(files.progressPath, disk),
    classifyExit: (exit, output, workload) =>
      classifyExit({ exit, output, isFiniteInput: workload !== undefined && endsByItself(workload.spec) }),
  };
}

/** The spec without what says only how it is handled: that must not restart a stream. */
function whatRuns({ update: _update, via: _via, ...spec }: StreamSpec): StreamSpec {
  const { exclusive: _exclusive, ...input } = spec.input;
  return { ...spec, input, outputs: spec.outputs.map(({ move: _move, ...output }) => output) };
}

function missingEncoder(
  stream: AdmittedStream,
  { encoders }: FfmpegCapabilities,
): { readonly field: string; readonly encoder: string } | undefined {
  const wanted = [
    { field: "video.encoder", coding: videoOf(stream) },
    { field: "audio.encoder", coding: audioOf(stream) },
  ];
  for (const { field, coding } of wanted) {
    if (typeof coding !== "string" && !encoders.includes(coding.encoder)) return { field, encoder: coding.encoder };
  }
  return undefined;
}

function makeRoomForFiles(stream: AdmittedStream, disk: StreamDisk): void {
  try {
    for (const { kind, url } of stream.outputs) {
      const recording = kind === "recording" ? parseRecordingPath(url.path) : undefined;
      if (recording?.ok) disk.makeDirectory(recording.recording.directory);
      if (kind === "hls-files") disk.makeDirectory(url.path.slice(0, url.path.lastIndexOf("/")));
    }
    pruneRecordings(stream.spec, disk);
  } catch (thrown) {
    throw new AppError("storage", "outputs: cannot prepare the directory of a file output", { cause: thrown });
  }
}

function endsByItself(spec: StreamSpec): boolean {
  const parsed = parseStreamUrl(spec.input.url);
  return parsed.ok && isFiniteInput(parsed.url) && spec.input.loop !== true;
}
