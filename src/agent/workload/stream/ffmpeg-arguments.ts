import type { AudioEncoding, VideoEncoding } from "../../../contract/stream-spec.ts";
import { audioArguments, videoArguments } from "./encode-arguments.ts";
import { type ArgumentDialect, inputArguments } from "./input-arguments.ts";
import { muxTarget } from "./output-arguments.ts";
import { previewArguments } from "./preview-arguments.ts";
import type { AdmittedStream } from "./stream-admission.ts";
import { targetArguments } from "./tee-arguments.ts";

export interface CommandLine {
  readonly stream: AdmittedStream;
  readonly dialect: ArgumentDialect;
  /** A silent track stands in for the input's sound. */
  readonly addSilence: boolean;
  readonly previewPath: string;
}

const TEST_VIDEO: VideoEncoding = { encoder: "libx264", preset: "ultrafast" };
const TEST_AUDIO: AudioEncoding = { encoder: "aac", bitrateKbit: 128, channels: 2 };
/**
 * A source inside the filter graph, not a second input: it is drawn from as the picture moves on, so a camera that goes
 * silent stops the counters too.
 */
const SILENCE = ["-filter_complex", "anullsrc=channel_layout=stereo:sample_rate=44100[silence]"];
const SILENT_AUDIO: AudioEncoding = { encoder: "aac", bitrateKbit: 64 };

/** The whole command line of one stream, without the program's name. Pure: equal inputs give equal arguments. */
export function ffmpegArguments(command: CommandLine): string[] {
  const { stream, dialect, addSilence } = command;
  const { spec } = stream;
  const video = videoOf(stream);
  return [
    ...["-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+warning", "-progress", "pipe:1"],
    ...(dialect.hasStatsPeriod ? ["-stats_period", "1"] : []),
    ...(spec.preview !== undefined && video === "copy" ? ["-skip_frame:v", "nokey"] : []),
    ...(spec.rawArguments?.input ?? []),
    ...inputArguments(stream, dialect),
    ...(addSilence ? SILENCE : []),
    ...(video === "none" ? [] : ["-map", "0:v:0?"]),
    ...audioMap(stream, addSilence),
    ...videoArguments(video),
    ...(addSilence ? audioArguments(silentAudio(stream)) : audioArguments(audioOf(stream))),
    ...(addSilence ? ["-shortest"] : []),
    // The encoder cannot ask a tee what its slaves want; headers up front suit them all.
    ...(stream.outputs.length > 1 ? ["-flags", "+global_header"] : []),
    ...(spec.rawArguments?.output ?? []),
    ...["-y"],
    ...targetArguments(stream.outputs.map(muxTarget)),
    ...(spec.preview === undefined ? [] : previewArguments(spec.preview, command.previewPath)),
  ];
}

export function videoOf(stream: AdmittedStream): VideoEncoding | "copy" | "none" {
  return stream.spec.video ?? (stream.input.scheme === "test" ? TEST_VIDEO : "copy");
}

export function audioOf(stream: AdmittedStream): AudioEncoding | "copy" | "none" {
  return stream.spec.audio ?? (stream.input.scheme === "test" ? TEST_AUDIO : "copy");
}

function silentAudio(stream: AdmittedStream): AudioEncoding {
  const { audio } = stream.spec;
  return audio === undefined || typeof audio === "string" ? SILENT_AUDIO : audio;
}

function audioMap(stream: AdmittedStream, addSilence: boolean): string[] {
  if (addSilence) return ["-map", "[silence]"];
  return audioOf(stream) === "none" ? [] : ["-map", "0:a:0?"];
}
