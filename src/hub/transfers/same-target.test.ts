import { describe, expect, test } from "vitest";
import { isOverlapping, writerOf } from "./same-target.ts";
import type { Transfer } from "./transfer-record.ts";

const side = (path: string, storage = "s") => ({ storage, path, anchor: "w" });
const request = { source_path: "/a", destination_path: "/b", mode: "copy" } as Transfer["request"];
const other = (more: Partial<Transfer>): Pick<Transfer, "id" | "phase" | "destination" | "request"> => ({
  id: "other",
  phase: "active",
  destination: side("tree"),
  request,
  ...more,
});

describe("a place", () => {
  test.each([
    ["tree", "tree", true],
    ["tree", "tree/sub", true],
    ["tree/sub", "tree", true],
    ["", "tree", true],
    ["tree", "", true],
    ["tree", "tree2", false],
    ["tree2", "tree", false],
    ["a/tree", "tree", false],
  ])("%j and %j overlap: %s", (one, two, isSo) => {
    expect(isOverlapping(side(one), side(two))).toBe(isSo);
  });

  test("of another storage is another", () => {
    expect(isOverlapping(side("tree"), side("tree", "t"))).toBe(false);
  });
});

describe("who writes there", () => {
  test.each(["active", "closing", "cancelling"] as const)("is one that is %s", (phase) => {
    expect(writerOf(side("tree"), { id: "r" }, [other({ phase })])).toBe("other");
  });

  test.each(["queued", "completed", "failed"] as const)("is none that is %s", (phase) => {
    expect(writerOf(side("tree"), { id: "r" }, [other({ phase })])).toBeUndefined();
  });

  test("is neither oneself, nor one that compares, nor one that is elsewhere", () => {
    const verify = other({ request: { ...request, mode: "verify" } });
    const elsewhere = other({ destination: side("tree", "t") });
    const { destination: _, ...nowhere } = other({});
    expect(writerOf(side("tree"), { id: "r" }, [other({ id: "r" }), verify, elsewhere, nowhere])).toBeUndefined();
  });
});
