import { z } from "zod";

/** Wall time as ISO 8601, in UTC. */
export const instantSchema = z.iso.datetime().describe("Wall time, ISO 8601 in UTC.");

export const MAX_PAGE_LIMIT = 1000;
export const DEFAULT_PAGE_LIMIT = 100;

/** What every list takes. */
export const pageQuerySchema = z.object({
  after: z.string().max(500).optional().describe("The `next` of the page before."),
  limit: z.coerce.number().int().min(1).max(MAX_PAGE_LIMIT).default(DEFAULT_PAGE_LIMIT).describe("Items a page."),
});
export type PageQuery = z.output<typeof pageQuerySchema>;

/** What every list answers. */
export function pageSchema<Item extends z.ZodType>(item: Item) {
  return z.object({
    items: z.array(item),
    next: z.string().optional().describe("Give it as `after` for the next page. Absent on the last one."),
  });
}

/** A flag in a query string. */
export const flagSchema = z.enum(["true", "false"]).transform((text) => text === "true");
