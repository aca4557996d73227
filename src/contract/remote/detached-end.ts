import { z } from "zod";

/** How a command ended that went on without its operator. */
export const detachedEndSchema = z.object({
  session: z.string().min(1).max(64),
  /** Its session is over and has begun nothing. */
  isUnbegun: z.literal(true).optional(),
  /** What held its command is gone, and with it how it ended. */
  isUnknown: z.literal(true).optional(),
  /** The one or the other; neither, of one that was begun: its box was restarted while it ran. */
  code: z.int().min(0).max(255).optional(),
  /** `SIGKILL`. */
  signal: z.string().max(20).optional(),
});
export type DetachedEnd = z.output<typeof detachedEndSchema>;

/** The box has more than it may hold of them at once. */
export const MAX_DETACHED_ENDS = 64;

/** Pure. One sentence. */
export function describeDetachedEnd({ code, signal, isUnbegun, isUnknown }: DetachedEnd): string {
  if (isUnbegun === true) return "nothing was begun";
  if (isUnknown === true) return "lost: what held its command on the box was ended";
  if (signal !== undefined) return `its command was ended by ${signal}`;
  if (code !== undefined) return `its command has ended with exit status ${code}`;
  return "lost: its box was restarted while its command ran";
}
