import type { StreamPolicy } from "../../../config/agent-options.ts";
import { parseRecordingPath } from "../../../contract/recording-name.ts";
import type { StreamInput, StreamOutput, StreamSpec } from "../../../contract/stream-spec.ts";
import { parseStreamUrl, type StreamUrl } from "../../../contract/stream-url.ts";
import type { Refusal } from "../driver.ts";
import { isInsideRoots, type PathLookup } from "./file-root.ts";
import { isFiniteInput, type OutputKind, outputKindOf, outputPolicyWord } from "./output-kind.ts";
import { parseTestSource } from "./test-source.ts";

/** A spec whose every URL was taken apart and allowed. Only this reaches the command line. */
export interface AdmittedStream {
  readonly spec: StreamSpec;
  readonly input: StreamUrl;
  readonly outputs: readonly AdmittedOutput[];
}

export interface AdmittedOutput {
  readonly url: StreamUrl;
  readonly kind: OutputKind;
  readonly options: StreamOutput;
}

export type Admission =
  | { readonly stream: AdmittedStream; readonly refusal?: never }
  | { readonly refusal: Refusal; readonly stream?: never };

const INPUT_SCHEMES = ["rtsp", "rtsps", "rtmp", "rtmps", "srt", "http", "https", "udp", "rtp", "file", "test"];

/**
 * Holds a spec against the box's policy and against itself. Messages name the field, what was given (never the URL, which
 * may hold a secret) and what is allowed.
 */
export function admitStream(spec: StreamSpec, policy: StreamPolicy, disk: PathLookup): Admission {
  const input = admitInput(spec.input, policy, disk);
  if ("rule" in input) return { refusal: input };
  const outputs: AdmittedOutput[] = [];
  for (const [index, options] of spec.outputs.entries()) {
    const output = admitOutput(options, { field: `outputs[${index}]`, policy, disk });
    if ("rule" in output) return { refusal: output };
    outputs.push(output);
  }
  const refusal = refuseWhole(spec, outputs, policy);
  return refusal === undefined ? { stream: { spec, input, outputs } } : { refusal };
}

function admitInput(input: StreamInput, policy: StreamPolicy, disk: PathLookup): StreamUrl | Refusal {
  const parsed = parseStreamUrl(input.url);
  if (!parsed.ok) return { rule: "policy.inputs", message: `input.url ${parsed.problem}` };
  const { url } = parsed;
  const words = allowedWords(policy.inputs, INPUT_SCHEMES);
  const isListedPlaylist = policy.inputs.includes("hls") && url.scheme.startsWith("http");
  if (!INPUT_SCHEMES.includes(url.scheme) || !(policy.inputs.includes(url.scheme) || isListedPlaylist)) {
    return {
      rule: "policy.inputs",
      message: `input.url: the scheme ${shown(url.scheme)} is not allowed; allowed: ${words}`,
    };
  }
  if (url.scheme === "test") {
    const test = parseTestSource(url);
    if (!test.ok) return { rule: "spec", message: `input.url ${test.problem}` };
  }
  if (input.rtspTransport !== undefined && !url.scheme.startsWith("rtsp")) {
    return { rule: "spec", message: `input.rtspTransport is for rtsp inputs, not for ${url.scheme}` };
  }
  if (input.loop === true && !isFiniteInput(url)) {
    return { rule: "spec", message: `input.loop is for files, not for ${url.scheme}` };
  }
  return refusePlace(url, { field: "input", policy, disk }) ?? url;
}

interface Place {
  readonly field: string;
  readonly policy: StreamPolicy;
  readonly disk: PathLookup;
}

function admitOutput(options: StreamOutput, place: Place): AdmittedOutput | Refusal {
  const { field, policy } = place;
  const parsed = parseStreamUrl(options.url);
  if (!parsed.ok) return { rule: "policy.outputs", message: `${field}.url ${parsed.problem}` };
  const { url } = parsed;
  const kind = outputKindOf(url);
  const isAllowed = policy.outputs.includes(outputPolicyWord(url));
  if (kind === undefined || !isAllowed) {
    const why =
      url.scheme.startsWith("http") && kind === undefined ? " (over HTTP only HLS: a path ending in .m3u8)" : "";
    const words = policy.outputs.join(", ") || "none";
    return {
      rule: "policy.outputs",
      message: `${field}.url: ${shown(outputPolicyWord(url))} is not allowed${why}; allowed: ${words}`,
    };
  }
  const contradiction = refuseOptions(options, kind);
  if (contradiction !== undefined) return { rule: "spec", message: `${field}.${contradiction}` };
  if (kind === "recording") {
    const recording = parseRecordingPath(url.path);
    if (!recording.ok) return { rule: "spec", message: `${field}.url ${recording.problem}` };
  }
  if (kind === "udp" && url.port === undefined) return { rule: "spec", message: `${field}.url names no port` };
  return refusePlace(url, place) ?? { url, kind, options };
}

function refuseOptions(options: StreamOutput, kind: OutputKind): string | undefined {
  const isSegmented = kind === "recording" || kind.startsWith("hls");
  if (options.segmentSeconds !== undefined && !isSegmented) {
    return `segmentSeconds is for HLS and recordings, not for ${kind}`;
  }
  if (options.keepSegments !== undefined && !isSegmented) {
    return `keepSegments is for HLS and recordings, not for ${kind}`;
  }
  if (options.move !== undefined && kind !== "recording") return `move is for recordings, not for ${kind}`;
  if (options.move !== undefined && options.keepSegments !== undefined) {
    return "keepSegments cannot be given with move: what has not arrived is never removed";
  }
  if (options.rtspTransport !== undefined && kind !== "rtsp") {
    return `rtspTransport is for rtsp outputs, not for ${kind}`;
  }
  return undefined;
}

function refusePlace(url: StreamUrl, place: Place): Refusal | undefined {
  const { field, policy, disk } = place;
  if (url.scheme === "test") return undefined;
  if (url.scheme === "file") {
    if (isInsideRoots(url.path, policy.fileRoots, disk)) return undefined;
    const roots = policy.fileRoots.join(", ") || "none";
    return { rule: "policy.fileRoots", message: `${field}.url: the file is outside the allowed directories: ${roots}` };
  }
  if (policy.hosts.length === 0 || policy.hosts.some((pattern) => isHostMatch(pattern, url.host))) return undefined;
  return {
    rule: "policy.hosts",
    message: `${field}.url: the host ${shown(url.host)} is not allowed; allowed: ${policy.hosts.join(", ")}`,
  };
}

function refuseWhole(spec: StreamSpec, outputs: readonly AdmittedOutput[], policy: StreamPolicy): Refusal | undefined {
  if (spec.rawArguments !== undefined && !policy.rawArguments) {
    return { rule: "policy.rawArguments", message: "rawArguments: this box does not allow raw FFmpeg arguments" };
  }
  if (spec.video === "none" && spec.audio === "none" && !outputs.some(({ options }) => isAudioDemanded(options))) {
    return { rule: "spec", message: "video and audio are both none: nothing is left to stream" };
  }
  if (spec.preview !== undefined && spec.video === "none") {
    return { rule: "spec", message: "preview needs a picture, and video is none" };
  }
  const urls = outputs.map(({ url }) => url.text);
  const twice = urls.findIndex((url, index) => urls.indexOf(url) !== index);
  if (twice >= 0) return { rule: "spec", message: `outputs[${twice}].url repeats an earlier output` };
  return undefined;
}

function isAudioDemanded(options: StreamOutput): boolean {
  return options.needsAudio === true;
}

/** `*.example.com` stands for every name below `example.com`, not for itself. */
export function isHostMatch(pattern: string, host: string): boolean {
  const wanted = pattern.toLowerCase();
  return wanted.startsWith("*.") ? host.endsWith(wanted.slice(1)) && host.length > wanted.length - 1 : host === wanted;
}

function allowedWords(words: readonly string[], known: readonly string[]): string {
  return words.filter((word) => word === "hls" || known.includes(word)).join(", ") || "none";
}

function shown(word: string): string {
  return word === "" ? "(none)" : word.slice(0, 60);
}
