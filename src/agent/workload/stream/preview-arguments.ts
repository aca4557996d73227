import type { StreamSpec } from "../../../contract/stream-spec.ts";

const DEFAULT_EVERY_SECONDS = 5;
const DEFAULT_WIDTH_PIXELS = 320;

/**
 * A last output that holds one small JPEG and renews it by rename. It stands behind a queue, so that a full disk costs
 * the picture and not the stream.
 */
export function previewArguments(preview: NonNullable<StreamSpec["preview"]>, path: string): string[] {
  const everySeconds = preview.everySeconds ?? DEFAULT_EVERY_SECONDS;
  const widthPixels = preview.widthPixels ?? DEFAULT_WIDTH_PIXELS;
  return [
    ...["-map", "0:v:0", "-an", "-c:v", "mjpeg", "-q:v", "6", "-pix_fmt", "yuvj420p"],
    // Rounding up lets the first picture out at once. A picture lasts until the next one, and FFmpeg counts its end as
    // progress already made: moved back by one period, `out_time` stays with the stream.
    ...["-vf", `fps=fps=1/${everySeconds}:round=up,settb=AVTB,setpts=PTS-${everySeconds}/TB,scale=${widthPixels}:-2`],
    ...["-f", "fifo", "-fifo_format", "image2", "-format_opts", "update=1:atomic_writing=1"],
    ...["-attempt_recovery", "1", "-recover_any_error", "1", "-recovery_wait_time", "30"],
    ...["-drop_pkts_on_overflow", "1", path],
  ];
}
