import { describe, expect, test } from "vitest";
import type { Claim } from "../workload/driver.ts";
import { allocate, type Blocked, breakCircles } from "./allocate.ts";
import type { ExpectedWorkload, ObservedWorkload } from "./observed.ts";

const claim = (key: string): Claim => ({ key, kind: "camera", label: key, isExclusive: true });
const wanted = (...keys: string[]): ExpectedWorkload => ({
  specHash: "h",
  isRefused: false,
  claims: keys.map(claim),
  mayOverlap: true,
});
const seen = (phase: ObservedWorkload["phase"], extra: Partial<ObservedWorkload> = {}): ObservedWorkload => ({
  specHash: "h",
  phase,
  fault: undefined,
  dueAtMs: undefined,
  ...extra,
});

const AWAITED = { what: "tunnel t-1", holder: "t-1.consumer", text: "it goes through tunnel t-1, which is not up" };

function waits(
  observed: Readonly<Record<string, ObservedWorkload>>,
  expected: Readonly<Record<string, ExpectedWorkload>>,
) {
  const { blocked } = allocate(new Map(Object.entries(observed)), new Map(Object.entries(expected)));
  return Object.fromEntries(
    [...blocked].map(([id, block]) => [
      id,
      "text" in block ? block.text : `${block.holder} ${block.isHeld ? "has" : "before"} ${block.claim.key}`,
    ]),
  );
}

describe("allocate", () => {
  test.each([
    ["gives what nobody has to the one expected first", {}, { b: wanted("k"), a: wanted("k") }, { a: "b before k" }],
    [
      "leaves it with the one that has a process, whoever was expected first",
      { b: seen("running", { holds: ["k"] }) },
      { a: wanted("k"), b: wanted("k") },
      { a: "b has k" },
    ],
    [
      "lets nobody take anything who waits for something else, unless it runs as it should",
      { c: seen("running", { holds: ["k2"] }) },
      { a: { ...wanted("k"), awaits: AWAITED }, b: wanted("k"), c: { ...wanted("k2"), awaits: AWAITED } },
      { a: AWAITED.text },
    ],
    [
      "waits until a process that nothing expects is gone",
      { old: seen("stopping", { holds: ["k"] }) },
      { a: wanted("k") },
      { a: "old has k" },
    ],
    [
      "keeps it for one that waits for its next start",
      { b: seen("waiting", { dueAtMs: 9 }) },
      { a: wanted("k"), b: wanted("k") },
      { a: "b before k" },
    ],
    [
      "counts the successor and the predecessor of another",
      {
        b: seen("running", {
          holds: [],
          successor: {
            specHash: "x",
            phase: "launching",
            holds: ["k1"],
            fault: undefined,
            isProven: false,
            proveByMs: 1,
          },
        }),
        c: seen("running", {
          holds: [],
          predecessor: { specHash: "x", phase: "unkillable", holds: ["k2"], fault: undefined },
        }),
      },
      { a: wanted("k1"), d: wanted("k2"), b: wanted(), c: wanted() },
      { a: "b has k1", d: "c has k2" },
    ],
    [
      "does not start a workload beside an earlier process of its own that has the same",
      { a: seen("waiting", { predecessor: { specHash: "x", phase: "unkillable", holds: ["k"], fault: undefined } }) },
      { a: wanted("k") },
      { a: "a has k" },
    ],
    [
      "reserves nothing for one that cannot have all",
      { z: seen("running", { holds: ["k2"] }) },
      { a: wanted("k1", "k2"), b: wanted("k1"), z: wanted("k2") },
      { a: "z has k2" },
    ],
    [
      "never takes from two that run what they have",
      { a: seen("running", { holds: ["k"] }), b: seen("running", { holds: ["k"] }) },
      { a: wanted("k"), b: wanted("k") },
      {},
    ],
    [
      "knows from its spec what an adopted process has, where it runs as expected",
      { b: seen("running") },
      { a: wanted("k"), b: wanted("k") },
      { a: "b has k" },
    ],
  ])("%s", (_title, observed, expected, result) => {
    expect(waits(observed, expected)).toEqual(result);
  });
});

describe("breakCircles", () => {
  const by = (holder: string): Blocked => ({ claim: claim("k"), holder, isHeld: true });

  test("names one of each circle, and none of a chain", () => {
    const blocked = new Map([
      ["b", by("c")],
      ["c", by("b")],
      ["d", by("b")],
      ["x", by("free")],
    ]);
    expect([...breakCircles(blocked)]).toEqual(["b"]);
  });
});
