import { z } from "zod";
import { boxIdSchema } from "../identifier.ts";
import { instantSchema, pageSchema } from "./page.ts";

/** What a hub does with what terminals in browsers show: nothing, what their operators ask for, or record all of them. */
export const RECORDING_MODES = ["off", "asked", "always"] as const;
export type RecordingMode = (typeof RECORDING_MODES)[number];

/** `GET /v1/remote/recordings`; the recording itself, as asciicast v2: `GET /v1/remote/recordings/{id}`. */
export const recordingViewSchema = z.object({
  /** Of the remote session. */
  id: z.string(),
  box: boxIdSchema,
  operator: z.string(),
  startedAt: instantSchema,
  bytes: z.int(),
});
export type RecordingView = z.output<typeof recordingViewSchema>;

export const recordingPageSchema = pageSchema(recordingViewSchema).extend({
  /** Of terminals that are opened now. */
  mode: z.enum(RECORDING_MODES),
});

export const recordingPathSchema = z.object({
  id: z.string().regex(/^[0-9a-z]{1,32}$/, "must be the id of a remote session"),
});
