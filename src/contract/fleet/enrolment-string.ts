import { z } from "zod";

const PREFIX = "sluice1.";

const contentSchema = z.object({
  /** Where the hub is: `https://hub.example:8443`. */
  hub: z.url({ protocol: /^https?$/ }),
  /** The secret. */
  token: z.string().min(16).max(200),
  /** SHA-256 of the hub's authority certificate (its DER), as hex, where the hub made its own. */
  ca: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
});
export type EnrolmentContent = z.output<typeof contentSchema>;

/** What a person carries to a box: one line that says where the hub is, how to know it, and that the box may come. */
export function formatEnrolmentString(content: EnrolmentContent): string {
  return `${PREFIX}${Buffer.from(JSON.stringify(content)).toString("base64url")}`;
}

/** `undefined` for anything that is not one. */
export function parseEnrolmentString(text: string): EnrolmentContent | undefined {
  const trimmed = text.trim();
  if (!trimmed.startsWith(PREFIX)) return undefined;
  try {
    const json: unknown = JSON.parse(Buffer.from(trimmed.slice(PREFIX.length), "base64url").toString("utf8"));
    return contentSchema.safeParse(json).data;
  } catch {
    return undefined;
  }
}
