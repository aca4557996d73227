import { parseRecordingPath, recordingTarget } from "../../../contract/recording-name.ts";
import { NETWORK_TIMEOUT_MS } from "./input-arguments.ts";
import type { AdmittedOutput } from "./stream-admission.ts";

/** One output as FFmpeg's muxers see it, before it becomes arguments or one slave of a `tee`. */
export interface MuxTarget {
  readonly format: string;
  /** Muxer and protocol options, in order. */
  readonly options: readonly (readonly [name: string, value: string])[];
  readonly url: string;
}

const HLS_DEFAULT_SEGMENT_SECONDS = 2;
const HLS_DEFAULT_KEEP = 6;
export const RECORDING_DEFAULT_SEGMENT_SECONDS = 300;
/** Fragments that can be played although the end of the file was never written. */
const MP4_FRAGMENTS = "movflags=+frag_keyframe+empty_moov+default_base_moof";
const NETWORK_TIMEOUT_US = String(NETWORK_TIMEOUT_MS * 1000);

export function muxTarget(output: AdmittedOutput): MuxTarget {
  const { url, kind, options } = output;
  switch (kind) {
    case "rtmp":
      // Never `timeout` here: for RTMP it means "listen" and turns FFmpeg into a server.
      return {
        format: "flv",
        options: [
          ["flvflags", "no_duration_filesize"],
          ["rw_timeout", NETWORK_TIMEOUT_US],
        ],
        url: url.text,
      };
    case "srt":
      return {
        format: "mpegts",
        options: [
          ["timeout", NETWORK_TIMEOUT_US],
          ["connect_timeout", "5000"],
        ],
        url: url.text,
      };
    case "rtsp": {
      const transport = options.rtspTransport ?? "tcp";
      return { format: "rtsp", options: [["rtsp_transport", transport]], url: url.text };
    }
    case "udp":
      // Seven transport packets a datagram: what receivers expect and what fits into an Ethernet frame.
      return { format: "mpegts", options: [["pkt_size", "1316"]], url: url.text };
    case "hls-files":
      return {
        format: "hls",
        options: [
          ...hlsOptions(options),
          ["hls_flags", "delete_segments+temp_file+program_date_time+append_list+omit_endlist"],
          ["hls_segment_filename", `${url.path.replace(/%/g, "%%").slice(0, -".m3u8".length)}%d.ts`],
        ],
        url: url.path,
      };
    case "hls-http":
      return {
        format: "hls",
        options: [
          ...hlsOptions(options),
          ["hls_flags", "delete_segments+program_date_time+omit_endlist"],
          ["method", "PUT"],
          ["http_persistent", "1"],
          ["timeout", String(NETWORK_TIMEOUT_MS / 1000)],
        ],
        url: url.text,
      };
    case "recording":
      return recordingTargetOf(output);
  }
}

function hlsOptions(options: AdmittedOutput["options"]): [string, string][] {
  const seconds = options.segmentSeconds ?? HLS_DEFAULT_SEGMENT_SECONDS;
  const keep = options.keepSegments ?? HLS_DEFAULT_KEEP;
  return [
    ["hls_time", String(seconds)],
    ["hls_list_size", String(keep)],
  ];
}

function recordingTargetOf(output: AdmittedOutput): MuxTarget {
  const { options, url } = output;
  const parsed = parseRecordingPath(url.path);
  const target = parsed.ok ? recordingTarget(parsed.recording) : url.path;
  const container = parsed.ok ? parsed.recording.container : "matroska";
  const seconds = options.segmentSeconds ?? RECORDING_DEFAULT_SEGMENT_SECONDS;
  return {
    format: "segment",
    options: [
      ["segment_format", container],
      ...(container === "mp4" ? [["segment_format_options", MP4_FRAGMENTS] as const] : []),
      ["segment_time", String(seconds)],
      ["strftime", "1"],
      ["reset_timestamps", "1"],
    ],
    url: target,
  };
}
