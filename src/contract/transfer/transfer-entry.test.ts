import { expect, test } from "vitest";
import { z } from "zod";
import { readAtAGlance } from "./read-at-a-glance.ts";
import { type TransferEntry, transferEntrySchema } from "./transfer-entry.ts";

const FILE: TransferEntry = {
  path: "day 1/clip-0001.ts",
  type: "file",
  size: 16_384,
  mtime_ns: "1795362000123456789",
  mode: 0o640,
  uid: 1000,
  gid: 1000,
  generation: "26:1000:16384:1795362000123456789:1795362000123456789",
};

const UNUSUAL: Readonly<Record<string, Partial<TransferEntry>>> = {
  "the place itself": { path: "", type: "directory", size: 0 },
  "a name that begins with a dot": { path: "a/.hidden" },
  "a name of bytes that are no text": { path: "a/%FF" },
  "a time before 1970": { mtime_ns: "-1" },
  "a link": { type: "symlink", size: 0, target: "../elsewhere" },
  "a second name": { type: "hardlink", size: 0, target: "first", link_group: "26:7" },
  holes: { allocated: 4096 },
  attributes: { xattrs: { "user.camera": "bm9ydGg=" } },
};

test("a plain file and a plain directory come out as they were given, and what nobody knows is left out", () => {
  expect(transferEntrySchema.parse(FILE)).toEqual(FILE);
  expect(transferEntrySchema.parse({ ...FILE, type: "directory", size: 0 })).toEqual({
    ...FILE,
    type: "directory",
    size: 0,
  });
  expect(transferEntrySchema.parse({ ...FILE, of_a_later_version: 1 })).toEqual(FILE);
});

test.each(Object.entries(UNUSUAL))("%s comes out as it was given", (_, more) => {
  expect(transferEntrySchema.parse({ ...FILE, ...more })).toEqual({ ...FILE, ...more });
});

test.each([
  ["path", "../outside"],
  ["path", "a//b"],
  ["path", "/etc"],
  ["path", `a/${"x".repeat(256)}`],
  ["path", 7],
  ["type", "device"],
  ["type", undefined],
  ["size", -1],
  ["size", 0.5],
  ["size", "16384"],
  ["mtime_ns", "soon"],
  ["mtime_ns", 1],
  ["mode", 0o10000],
  ["mode", -1],
  ["uid", Number.NaN],
  ["gid", 2 ** 60],
  ["generation", "x".repeat(201)],
  ["generation", undefined],
] as const)("an entry whose %s is %j is refused with that field's name", (field, value) => {
  const { success, error } = z.array(transferEntrySchema).safeParse([FILE, { ...FILE, [field]: value }]);
  expect(success).toBe(false);
  expect(error?.issues.map(({ path }) => path)).toEqual([[1, field]]);
});

test.each([null, [], "file", 1, undefined])("%j is no entry", (given) => {
  expect(transferEntrySchema.safeParse(given).success).toBe(false);
});

test("what was read at a glance is not judged again, and nothing else is taken on its word", () => {
  let judged = 0;
  const schema = readAtAGlance(
    z.object({
      a: z.number().refine(() => {
        judged += 1;
        return true;
      }),
    }),
    ({ a }) => (a === 1 ? { a: 1 } : undefined),
  );
  expect(z.array(schema).parse([{ a: 1 }, { a: 2 }])).toEqual([{ a: 1 }, { a: 2 }]);
  expect(judged).toBe(1);
});
