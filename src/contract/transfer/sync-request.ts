import { z } from "zod";
import { boxIdSchema } from "../identifier.ts";
import { absolutePathSchema, relativePathSchema } from "./transfer-path.ts";

export const requestIdSchema = z
  .string()
  .regex(
    /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/,
    "must be 1 to 128 letters, digits, dots, dashes or underscores, not starting with . or -",
  );

/**
 * What proves that a file arrived whole: `transit` each unit's hash while it moves, `full` also the whole file as it lies on the
 * destination before it gets its name, `readback` also that read from the disk and not from memory.
 */
export const VERIFY_LEVELS = ["transit", "full", "readback"] as const;
/** `verify`: both sides are hashed where they are, and the difference is told; nothing is written. */
export const SYNC_MODES = ["copy", "verify"] as const;
export type SyncMode = (typeof SYNC_MODES)[number];
export const PRIORITIES = ["low", "normal", "high"] as const;
/** `xattrs`: extended attributes of users; `privileged-xattrs`: those of `security` and `trusted` as well. */
export const PRESERVED = [
  "mode",
  "times",
  "owner",
  "xattrs",
  "privileged-xattrs",
  "hardlinks",
  "symlinks",
  "sparse",
] as const;
export type Preserved = (typeof PRESERVED)[number];

const globSchema = z.string().min(1).max(1000);

/** `POST /sync`. */
export const syncRequestSchema = z
  .strictObject({
    mode: z
      .enum(SYNC_MODES)
      .default("copy")
      .describe("verify: compares both sides by hash, and writes nothing; preserve then says what is compared."),
    request_id: requestIdSchema
      .optional()
      .describe("Made when left out. The same id with the same body is the same request."),
    source_path: absolutePathSchema.describe(
      "Absolute, inside a storage: a file, or a directory with all that is in it.",
    ),
    destination_path: absolutePathSchema.describe("What the copy is called: not the directory that it is put into."),
    source_box: boxIdSchema.optional().describe("Needed where storages of several boxes have this path."),
    destination_box: boxIdSchema.optional(),
    file_list: z.array(relativePathSchema).min(1).max(10_000).optional().describe("Only these, below source_path."),
    include: z.array(globSchema).max(100).optional().describe("Only files that one of these patterns matches."),
    exclude: z.array(globSchema).max(100).optional(),
    chunk_size_mb: z.int().min(1).max(1024).default(64).describe("MiB that are leased at a time."),
    verify: z.enum(VERIFY_LEVELS).default("full"),
    priority: z.enum(PRIORITIES).default("normal"),
    deadline: z.iso
      .datetime({ offset: true, error: "a time such as 2026-01-15T10:30:45Z" })
      .optional()
      .describe("It fails when it is not done by then."),
    bandwidth_mbps: z
      .number()
      .positive()
      .max(1_000_000)
      .optional()
      .describe("Megabits a second, all workers together."),
    delete_extraneous: z.boolean().default(false).describe("Removes what the source does not have."),
    preserve: z
      .array(z.enum(PRESERVED))
      .max(PRESERVED.length)
      .default(["mode", "times", "hardlinks", "symlinks", "sparse"]),
  })
  // What was left out on purpose would count as not there, and be removed.
  .refine(
    ({ delete_extraneous, file_list, include, exclude }) =>
      !delete_extraneous || [file_list, include, exclude].every((part) => part === undefined),
    {
      path: ["delete_extraneous"],
      message: "only without file_list, include and exclude: what they leave out would be removed",
    },
  )
  .superRefine((request, context) => {
    if (request.mode !== "verify") return;
    const refuse = (field: keyof typeof request, message: string) =>
      context.addIssue({ code: "custom", path: [field], message });
    if (request.delete_extraneous) refuse("delete_extraneous", "only with mode copy: a comparison writes nothing");
    if (request.bandwidth_mbps !== undefined)
      refuse("bandwidth_mbps", "only with mode copy: in a comparison no byte of a file leaves its box");
    if (request.verify === "transit") refuse("verify", "full or readback with mode verify: nothing is in transit");
  });
export type SyncRequestInput = z.input<typeof syncRequestSchema>;
export type SyncRequest = z.output<typeof syncRequestSchema>;

export const syncAcceptedSchema = z.object({ status: z.literal("queued"), request_id: requestIdSchema });
