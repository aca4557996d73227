import type { StreamUrl } from "../../../contract/stream-url.ts";

/** How an output is written. `hls-files` and `recording` are files on this box, the others go to the network. */
export type OutputKind = "rtmp" | "srt" | "rtsp" | "udp" | "hls-files" | "hls-http" | "recording";

/** Undefined: there is no way to write to such a URL. */
export function outputKindOf(url: StreamUrl): OutputKind | undefined {
  switch (url.scheme) {
    case "rtmp":
    case "rtmps":
      return "rtmp";
    case "srt":
      return "srt";
    case "rtsp":
    case "rtsps":
      return "rtsp";
    case "udp":
      return "udp";
    case "http":
    case "https":
      return isPlaylist(url) ? "hls-http" : undefined;
    case "file":
      return isPlaylist(url) ? "hls-files" : "recording";
    default:
      return undefined;
  }
}

/** The word of `policy.outputs` that allows it: `hls` for playlists wherever they go, else the scheme. */
export function outputPolicyWord(url: StreamUrl): string {
  const kind = outputKindOf(url);
  return kind === "hls-files" || kind === "hls-http" ? "hls" : url.scheme;
}

export function isPlaylist(url: StreamUrl): boolean {
  return url.path.endsWith(".m3u8");
}

const FILE_LIKE = /\.(?:mp4|m4v|mov|mkv|webm|avi|mpe?g|mp3|m4a|wav|ogg|flac)$/i;

/** Whether an input ends by itself and must be read at its own speed: a file, here or on a web server. */
export function isFiniteInput(url: StreamUrl): boolean {
  return url.scheme === "file" || (url.scheme.startsWith("http") && FILE_LIKE.test(url.path));
}
