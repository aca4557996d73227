import { z } from "zod";
import { VERIFY_LEVELS } from "./sync-request.ts";
import { sha256Schema } from "./worker-heartbeat.ts";

/** What the hub signs of a copy that is complete. Has no end. */
export const transferReceiptSchema = z.object({
  aud: z.literal("sluice-receipt"),
  /** The request. */
  rid: z.string(),
  source_path: z.string(),
  destination_path: z.string(),
  source_box: z.string().optional(),
  destination_box: z.string().optional(),
  verify: z.enum(VERIFY_LEVELS),
  root: sha256Schema,
  bytes: z.int(),
  files: z.int(),
  /** Seconds since the epoch. */
  iat: z.int(),
});
export type TransferReceipt = z.output<typeof transferReceiptSchema>;
