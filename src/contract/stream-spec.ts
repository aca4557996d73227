import { z } from "zod";
import { durationTextSchema } from "./duration-text.ts";
import { boxIdSchema } from "./identifier.ts";
import { absolutePathSchema } from "./transfer/transfer-path.ts";
import { tunnelUidSchema } from "./tunnel-spec.ts";

/**
 * What an operator asks of one stream. Optional fields stay absent: defaults are filled in where the command line is
 * made, so that a new release with other defaults does not count as a changed stream.
 */

const url = z.string().min(1).max(4096);

export const videoEncodingSchema = z.object({
  /** A video encoder of the box's FFmpeg: `libx264`, `h264_v4l2m2m`, … */
  encoder: z.string().regex(/^[A-Za-z0-9_]{1,40}$/, "must be the name of an FFmpeg encoder"),
  preset: z
    .string()
    .regex(/^[A-Za-z0-9_][A-Za-z0-9_-]{0,39}$/)
    .optional(),
  /** `WIDTHxHEIGHT`, both even. */
  size: z
    .string()
    .regex(/^[1-9]\d{0,4}x[1-9]\d{0,4}$/, "must be WIDTHxHEIGHT, for example 1280x720")
    .refine((size) => size.split("x").every((side) => Number(side) % 2 === 0), "width and height must be even")
    .optional(),
  fps: z.number().positive().max(240).optional(),
  bitrateKbit: z.int().min(16).max(400_000).optional(),
  /** Distance between key frames. */
  gopFrames: z.int().min(1).max(3000).optional(),
  profile: z
    .string()
    .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,39}$/)
    .optional(),
});

export const audioEncodingSchema = z.object({
  encoder: z.string().regex(/^[A-Za-z0-9_]{1,40}$/, "must be the name of an FFmpeg encoder"),
  bitrateKbit: z.int().min(8).max(2048).optional(),
  sampleRateHz: z.int().min(8000).max(192_000).optional(),
  channels: z.int().min(1).max(8).optional(),
});

export const streamInputSchema = z.object({
  url,
  /** RTSP only: how media travels. TCP is the default. */
  rtspTransport: z.enum(["tcp", "udp"]).optional(),
  /** Files only: read again from the start at the end. */
  loop: z.boolean().optional(),
  /** The source allows one reader at a time: nothing else of this box opens the same URL meanwhile. */
  exclusive: z.boolean().optional(),
});

/** What becomes of the finished files of a recording. */
export const segmentMoveSchema = z.strictObject({
  /** `BOX:/PATH`, or `/PATH` where only one box has that storage: the directory that they are moved into. */
  to: z
    .string()
    .max(4096 * 3)
    .refine((text) => parseMoveTarget(text) !== undefined, "must be BOX:/PATH or /PATH, with the id of the box"),
  /** How long each stays here after it has ended, once it has arrived whole. Absent: not at all. */
  keepHere: durationTextSchema(1000).optional(),
});
export type SegmentMove = z.output<typeof segmentMoveSchema>;

/** `undefined`: it is none. */
export function parseMoveTarget(text: string): { readonly box: string | undefined; readonly path: string } | undefined {
  const [, box, path = ""] = /^(?:([^:/]+):)?(\/.*)$/s.exec(text) ?? [];
  const isBox = box === undefined || boxIdSchema.safeParse(box).success;
  const place = absolutePathSchema.safeParse(path);
  return isBox && place.success ? { box, path: place.data } : undefined;
}

export const streamOutputSchema = z.object({
  url,
  /** The receiver rejects a stream without sound: a silent track is added when the input has none. */
  needsAudio: z.boolean().optional(),
  /** HLS and recordings: length of one file. */
  segmentSeconds: z.number().positive().max(86_400).optional(),
  /** HLS and recordings: how many finished files to keep. */
  keepSegments: z.int().min(1).max(100_000).optional(),
  /** Recordings: finished files are moved to another storage. */
  move: segmentMoveSchema.optional(),
  /** RTSP only: how media travels. TCP is the default. */
  rtspTransport: z.enum(["tcp", "udp"]).optional(),
});

export const streamSpecSchema = z.object({
  input: z.union([url.transform((text): StreamInput => ({ url: text })), streamInputSchema]),
  outputs: z
    .array(z.union([url.transform((text): StreamOutput => ({ url: text })), streamOutputSchema]))
    .min(1)
    .max(16),
  /** Absent: `copy`, or an encoder where the input is made by FFmpeg itself. */
  video: z.union([z.enum(["copy", "none"]), videoEncodingSchema]).optional(),
  audio: z.union([z.enum(["copy", "none"]), audioEncodingSchema]).optional(),
  /**
   * When the spec changes: start the new process beside the old one where they do not get into each other's way (`auto`),
   * or always stop the old one first (`replace`). Absent: `auto`.
   */
  update: z.enum(["auto", "replace"]).optional(),
  /** The tunnel it goes through: it is started while this box's end of it is `up`, and no failure counts while it is not. */
  via: tunnelUidSchema.optional(),
  /** A small JPEG of what is streamed, renewed every so often. */
  preview: z
    .object({ everySeconds: z.number().min(1).max(3600).optional(), widthPixels: z.int().min(16).max(1920).optional() })
    .optional(),
  /** Extra FFmpeg arguments; refused unless the box's policy allows them. */
  rawArguments: z
    .object({
      input: z.array(z.string().max(1024)).max(64).optional(),
      output: z.array(z.string().max(1024)).max(64).optional(),
    })
    .optional(),
});

export type StreamSpec = z.output<typeof streamSpecSchema>;
export type StreamInput = z.output<typeof streamInputSchema>;
export type StreamOutput = z.output<typeof streamOutputSchema>;
export type VideoEncoding = z.output<typeof videoEncodingSchema>;
export type AudioEncoding = z.output<typeof audioEncodingSchema>;
