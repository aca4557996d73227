import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import { comparisonText, isEqual, MAX_KEPT_DIFFERENCES } from "../../contract/transfer/tree-comparison.ts";
import { type CompareOptions, compareTrees } from "./compare-trees.ts";
import type { HashedEntry } from "./hashed-entries.ts";
import { rootHashOf } from "./root-hash.ts";
import { fileEntry, hashFor } from "./transfer-world.fake.ts";

const file = (path: string, text: string, more: Partial<TransferEntry> = {}): HashedEntry => ({
  entry: fileEntry(path, text.length, more),
  sha256: hashFor(text),
});
const other = (path: string, type: TransferEntry["type"], more: Partial<TransferEntry> = {}): HashedEntry => ({
  entry: fileEntry(path, 0, { type, ...more }),
  sha256: hashFor(type),
});
async function* from(entries: readonly HashedEntry[]) {
  yield* entries;
}
const compare = (
  source: readonly HashedEntry[],
  destination: readonly HashedEntry[],
  more: Partial<CompareOptions> = {},
) =>
  compareTrees(
    { source: from(source), destination: from(destination) },
    { preserve: ["mode", "times", "hardlinks", "symlinks"], isOfRoot: false, ...more },
  );
const found = async (...given: Parameters<typeof compare>) =>
  (await compare(...given)).differences?.map(({ path, differs }) => [path, ...differs]);

describe("two trees", () => {
  const tree = [other("", "directory"), file("a", "one"), other("d", "directory"), file("d/b", "two"), file("e", "")];

  test("that are the same have one root hash and nothing to tell", async () => {
    const same = await compare(tree, tree);
    expect(same).toMatchObject({ equal: 5, differences: [] });
    expect(same.source_root_hash).toBe(same.destination_root_hash);
    expect([isEqual(same), comparisonText(same)]).toEqual([true, "no difference: 5 entries are equal"]);
  });

  test("differ in what is on one side alone; what is in such a directory is counted and goes without saying", async () => {
    const more = [other("", "directory"), file("a", "one"), file("d.x", "three"), file("e", ""), file("f", "last")];
    const told = await compare(tree, more);
    expect(told.differences).toEqual([
      { path: "d", differs: ["only-in-source"], message: "a directory" },
      { path: "d.x", differs: ["only-in-destination"], message: "a file" },
      { path: "f", differs: ["only-in-destination"], message: "a file" },
    ]);
    expect(told).toMatchObject({ equal: 3, only_in_source: 2, only_in_destination: 2, differing: 0 });
    expect(comparisonText(told)).toBe("2 only in the source, 2 only in the destination; 3 entries are equal");
    expect(told.source_root_hash).not.toBe(told.destination_root_hash);
    expect(await found(tree, [])).toEqual([["", "only-in-source"]]);
  });

  test("differ in what an entry is, holds and says of itself, each only where it is asked for", async () => {
    const link = (path: string, target: string) => other(path, "symlink", { target });
    const name = (path: string, target: string) => other(path, "hardlink", { target });
    const one = [
      file("a", "one"),
      file("b", "same", { mode: 0o4755, mtime_ns: "1000", uid: 1 }),
      link("c", "x"),
      other("d", "directory", { mode: 0o700 }),
      name("e", "a"),
      name("f", "a"),
      file("g", "short"),
    ];
    const two = [
      file("a", "two"),
      file("b", "same", { mode: 0o755, mtime_ns: "2000" }),
      link("c", "y"),
      link("d", "z"),
      name("e", "b"),
      file("f", "one"),
      file("g", "longer"),
    ];
    expect(await found(one, two)).toEqual([
      ["a", "content"],
      ["b", "times"],
      ["c", "target"],
      ["d", "kind"],
      ["e", "hardlink"],
      ["f", "hardlink"],
      ["g", "content"],
    ]);
    const ofB = async (preserve: CompareOptions["preserve"]) =>
      (await compare(one.slice(1, 2), two.slice(1, 2), { preserve })).differences;
    expect(await ofB([])).toEqual([]);
    expect(await ofB(["mode"])).toEqual([]);
    expect(await ofB(["mode", "times", "owner"])).toEqual([
      {
        path: "b",
        differs: ["mode", "times", "owner"],
        message: "mode 4755, 0755; changed 1970-01-01T00:00:00.000001Z, 1970-01-01T00:00:00.000002Z; of 1:0, of 0:0",
      },
    ]);
    // A copy keeps microseconds.
    expect(await found([file("x", "", { mtime_ns: "1999" })], [file("x", "", { mtime_ns: "1001" })])).toEqual([]);
    expect(await found([file("x", "", { mtime_ns: "-1" })], [file("x", "", { mtime_ns: "1" })])).toEqual([
      ["x", "times"],
    ]);
  });

  test("of which one is a whole storage are not held against each other in what the storage itself says", async () => {
    const one = [other("", "directory", { mode: 0o700 })];
    const two = [other("", "directory", { mode: 0o755 })];
    expect(await found(one, two)).toEqual([["", "mode"]]);
    expect(await found(one, two, { isOfRoot: true })).toEqual([]);
  });

  test("that have nothing in common are told of in bounds, and counted without", async () => {
    const many = Array.from({ length: 2 * MAX_KEPT_DIFFERENCES }, (_, at) => file(String(at).padStart(9, "0"), "x"));
    const told = await compare(many, []);
    expect(told.differences).toHaveLength(MAX_KEPT_DIFFERENCES);
    expect(told.only_in_source).toBe(2 * MAX_KEPT_DIFFERENCES);
    const long = many
      .slice(0, 100)
      .map(({ entry, sha256 }) => ({ entry: { ...entry, path: entry.path.padEnd(3000, "x") }, sha256 }));
    expect((await compare(long, [])).differences?.length).toBeLessThan(25);
  });

  test("what could not be read is no difference: it is told as trouble", async () => {
    const unread = { entry: fileEntry("a", 3), sha256: undefined };
    expect(await found([unread], [file("a", "one")])).toEqual([]);
  });
});

test("the root hash of a copy is that of the tree, however often some of it was listed again", async () => {
  const whole = [other("", "directory"), file("a", "new"), other("d", "directory"), file("d/b", "two"), file("e", "z")];
  const once = await rootHashOf(...copyOf([whole]));
  const again = await rootHashOf(
    ...copyOf(
      [
        [
          other("", "directory"),
          { ...file("a", "old"), sha256: undefined },
          other("d", "directory"),
          file("d/b", "two"),
        ],
        [file("e", "z")],
        [other("", "directory"), file("a", "new")],
      ],
      [2],
    ),
  );
  expect(again).toBe(once);
  expect((await compare(whole, whole)).source_root_hash).not.toBe(createHash("sha256").digest("hex"));
});

/** Pieces as the book has them, of walks that begin at some of them. */
function copyOf(pieces: readonly (readonly HashedEntry[])[], walks: number[] = []): Parameters<typeof rootHashOf> {
  const loadHashes = async (_: unknown, index: number) => {
    const entries = (pieces[index] ?? []).map(({ entry }) => entry);
    const units = entries.map((_, entry) => ({
      kind: "copy" as const,
      items: [{ entry, offset: 0, length: 0 }],
      bytes: 0,
    }));
    const hashes = new Map<number, string>();
    for (const [at, { sha256 }] of (pieces[index] ?? []).entries()) if (sha256 !== undefined) hashes.set(at, sha256);
    return { piece: { entries, units }, hashes };
  };
  const transfer = { list: { pieces: pieces.length, walks } } as unknown as Parameters<typeof rootHashOf>[1];
  return [{ loadHashes }, transfer];
}
