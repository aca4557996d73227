import type { StreamUrl } from "../../../contract/stream-url.ts";
import { isFiniteInput } from "./output-kind.ts";
import type { AdmittedStream } from "./stream-admission.ts";
import { parseTestSource, testSourceGraph } from "./test-source.ts";

/** What differs between releases of FFmpeg. */
export interface ArgumentDialect {
  /** RTSP's time limit. Before FFmpeg 5 `-timeout` meant "listen" there. */
  readonly rtspTimeoutOption: "timeout" | "stimeout";
  /** FFmpeg 4.4 and later. Before, half a second was the fixed period. */
  readonly hasStatsPeriod: boolean;
}

/** No byte for this long ends a network input or output. Health finds a stall earlier; this is the last resort. */
export const NETWORK_TIMEOUT_MS = 10_000;
const NETWORK_TIMEOUT_US = String(NETWORK_TIMEOUT_MS * 1000);
/** How long FFmpeg may look at a live input before it must name its tracks; its own default is 5 s and more. */
const ANALYZE_LIVE = ["-analyzeduration", "3000000", "-probesize", "5000000"];
/** Packets that may wait between the reader and the rest, so that a burst of datagrams is not lost. */
const LIVE_QUEUE = ["-thread_queue_size", "512"];
/** Containers that name no other files. Playlists and concatenation scripts are not among them. */
const FILE_FORMATS =
  "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,flv,avi,asf,ogg,wav,mp3,aac,ac3,flac,h264,hevc,m4v,mxf,nut";

/** Everything before and including `-i URL`. The same arguments open the input for a probe. */
export function inputArguments(stream: AdmittedStream, dialect: ArgumentDialect): string[] {
  return [...pacing(stream), ...protocolArguments(stream, dialect), "-i", inputTarget(stream.input)];
}

/** For a probe: the same input, read as fast as it comes and only once. */
export function probeInputArguments(stream: AdmittedStream, dialect: ArgumentDialect): string[] {
  return [...protocolArguments(stream, dialect), "-i", inputTarget(stream.input)];
}

/** What makes its own media, or has all of it already, is read no faster than it plays. */
function pacing(stream: AdmittedStream): string[] {
  const { input, spec } = stream;
  if (input.scheme !== "test" && !isFiniteInput(input)) return [];
  return ["-re", ...(spec.input.loop === true ? ["-stream_loop", "-1"] : [])];
}

function protocolArguments(stream: AdmittedStream, dialect: ArgumentDialect): string[] {
  const { input, spec } = stream;
  switch (input.scheme) {
    case "test":
      return ["-f", "lavfi"];
    case "file":
      return [...whitelist("file"), "-format_whitelist", FILE_FORMATS];
    case "rtsp":
    case "rtsps": {
      const transport = spec.input.rtspTransport ?? "tcp";
      const limits = [`-${dialect.rtspTimeoutOption}`, NETWORK_TIMEOUT_US];
      return [
        ...whitelist("rtsp,rtp,srtp,udp,tcp,tls"),
        "-rtsp_transport",
        transport,
        ...limits,
        ...ANALYZE_LIVE,
        ...LIVE_QUEUE,
      ];
    }
    case "rtmp":
      return [...whitelist("rtmp,tcp"), "-rw_timeout", NETWORK_TIMEOUT_US, ...ANALYZE_LIVE];
    case "rtmps":
      return [...whitelist("rtmps,rtmp,tls,tcp"), "-rw_timeout", NETWORK_TIMEOUT_US, ...ANALYZE_LIVE];
    case "srt":
      return [...whitelist("srt"), ...SRT_LIMITS, ...ANALYZE_LIVE, ...LIVE_QUEUE];
    case "udp":
      return [
        ...whitelist("udp"),
        ...["-timeout", NETWORK_TIMEOUT_US, "-overrun_nonfatal", "1", "-fifo_size", "50000"],
        ...ANALYZE_LIVE,
        ...LIVE_QUEUE,
      ];
    case "rtp":
      return [...whitelist("rtp,udp"), ...ANALYZE_LIVE, ...LIVE_QUEUE];
    default:
      return [...whitelist("http,https,tls,tcp,crypto"), ...HTTP_LIMITS, ...(isFiniteInput(input) ? [] : ANALYZE_LIVE)];
  }
}

/** Microseconds for the transfer, milliseconds for the handshake. A value in the URL wins over these. */
export const SRT_LIMITS = ["-timeout", NETWORK_TIMEOUT_US, "-connect_timeout", "5000"];
const HTTP_LIMITS = [
  ...["-rw_timeout", NETWORK_TIMEOUT_US],
  ...["-reconnect", "1", "-reconnect_streamed", "1", "-reconnect_delay_max", "5"],
];

/** What the input may open in turn: a playlist from the network must not reach this box's files. */
function whitelist(protocols: string): string[] {
  return ["-protocol_whitelist", protocols];
}

function inputTarget(input: StreamUrl): string {
  if (input.scheme === "file") return `file:${input.path}`;
  if (input.scheme !== "test") return input.text;
  const test = parseTestSource(input);
  return test.ok ? testSourceGraph(test.source) : input.text;
}
