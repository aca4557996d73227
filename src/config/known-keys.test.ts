import { expect, test } from "vitest";
import { z } from "zod";
import { knownKeys } from "./known-keys.ts";

const schema = z.strictObject({
  name: z.string().optional(),
  ports: z.array(z.strictObject({ port: z.int(), scheme: z.string() })).optional(),
  byId: z.record(
    z.string(),
    z.preprocess((value) => value, z.strictObject({ depth: z.int().default(1) })),
  ),
  one: z.union([
    z.string(),
    z.strictObject({ url: z.string() }),
    z.strictObject({ url: z.string(), file: z.string() }),
  ]),
  both: z
    .intersection(z.object({ left: z.string() }), z.object({ right: z.string() }))
    .default({ left: "", right: "" }),
});

test.each([
  { place: [], keys: ["name", "ports", "byId", "one", "both"] },
  { place: ["ports", 3], keys: ["port", "scheme"] },
  { place: ["byId", "any"], keys: ["depth"] },
  { place: ["one"], keys: ["url", "file"] },
  { place: ["both"], keys: ["left", "right"] },
  { place: ["name"], keys: [] },
  { place: ["nothing", "there"], keys: [] },
])("at $place stand $keys", ({ place, keys }) => {
  expect(knownKeys(schema, place)).toEqual(keys);
});
