import type { AudioEncoding, VideoEncoding } from "../../../contract/stream-spec.ts";

/** Distance of key frames where nothing else was asked: what ingests and HLS players expect. */
const KEY_FRAME_SECONDS = 2;
const DEFAULT_PRESETS: Readonly<Record<string, string>> = { libx264: "veryfast", libx265: "veryfast" };
/** Encoders that would otherwise keep the source's colour format, which most players cannot show. */
const PLAIN_COLOUR = new Set(["libx264", "libx265", "libopenh264", "libx264rgb"]);

export function videoArguments(video: VideoEncoding | "copy" | "none"): string[] {
  if (video === "none") return ["-vn"];
  if (video === "copy") return ["-c:v", "copy"];
  const preset = video.preset ?? DEFAULT_PRESETS[video.encoder];
  return [
    ...["-c:v", video.encoder],
    ...(preset === undefined ? [] : ["-preset", preset]),
    ...(video.profile === undefined ? [] : ["-profile:v", video.profile]),
    ...(PLAIN_COLOUR.has(video.encoder) ? ["-pix_fmt", "yuv420p"] : []),
    ...(video.size === undefined ? [] : ["-vf", `scale=${video.size.replace("x", ":")}`]),
    ...(video.fps === undefined ? [] : ["-r", String(video.fps)]),
    ...rateArguments(video.bitrateKbit),
    ...keyFrameArguments(video),
  ];
}

/** A ceiling at the wanted rate over two seconds: an uplink is sized for it. */
function rateArguments(bitrateKbit: number | undefined): string[] {
  if (bitrateKbit === undefined) return [];
  return ["-b:v", `${bitrateKbit}k`, "-maxrate", `${bitrateKbit}k`, "-bufsize", `${bitrateKbit * 2}k`];
}

function keyFrameArguments(video: VideoEncoding): string[] {
  if (video.gopFrames !== undefined) {
    return ["-g", String(video.gopFrames), ...(video.encoder === "libx264" ? ["-sc_threshold", "0"] : [])];
  }
  return ["-force_key_frames", `expr:gte(t,n_forced*${KEY_FRAME_SECONDS})`];
}

export function audioArguments(audio: AudioEncoding | "copy" | "none"): string[] {
  if (audio === "none") return ["-an"];
  if (audio === "copy") return ["-c:a", "copy"];
  return [
    ...["-c:a", audio.encoder],
    ...(audio.bitrateKbit === undefined ? [] : ["-b:a", `${audio.bitrateKbit}k`]),
    ...(audio.sampleRateHz === undefined ? [] : ["-ar", String(audio.sampleRateHz)]),
    ...(audio.channels === undefined ? [] : ["-ac", String(audio.channels)]),
  ];
}
