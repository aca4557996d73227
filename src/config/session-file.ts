import type { z } from "zod";
import { sessionWishSchema } from "../contract/fleet/session.ts";
import { parseObjectFile } from "./object-file.ts";

const partialWishSchema = sessionWishSchema.partial();
export type PartialSessionWish = z.output<typeof partialWishSchema>;

/** A session, or what of it does not come from flags. Throws `config`, naming line and field. */
export function parseSessionFile(path: string, text: string): PartialSessionWish {
  return parseObjectFile({ path, text, schema: partialWishSchema, name: "a session", manual: "docs/sessions.md" });
}
