import { describe, expect, test } from "vitest";
import type { TransferFailureCode } from "../../contract/transfer/failure-code.ts";
import { packHashes } from "../../contract/transfer/packed-hashes.ts";
import { cutPage, MAX_RANGES_A_FILE, MIB, PLAN_SHAPES, planUnits } from "./plan-units.ts";
import { fileEntry, hashFor } from "./transfer-world.fake.ts";
import {
  applyResult,
  freshStates,
  isReady,
  leaseUnit,
  MAX_FAILED,
  retryFailed,
  summarize,
  type UnitStates,
} from "./unit-states.ts";

const entries = [
  fileEntry("small", 10),
  fileEntry("link", 0, { type: "hardlink", target: "small" }),
  fileEntry("big", 2 * MIB + 1),
];
const piece = { entries, units: planUnits(entries, MIB, "even") };
const item = (path: string, offset: number, length: number) => ({
  path,
  offset,
  length,
  sha256: hashFor(`${path}${offset}`),
});
const RANGES = [item("big", 0, MIB), item("big", MIB, MIB), item("big", 2 * MIB, 1)];

function told(states: UnitStates, unit: number, more: object = {}) {
  const result = { worker_id: "w", success: true, items: [], failures: [], message: "", dial_failed: false, ...more };
  return applyResult(piece, states, { unit, attempt: states.units[unit]?.attempt ?? 0, round: 0, result });
}
const done = (states: UnitStates, unit: number, items: readonly object[]) =>
  told(leaseUnit(states, unit, "w"), unit, { items }).states;
const failing = (code: TransferFailureCode, path: string, more: object = {}) => ({
  success: false,
  failures: [{ path, code, message: "so", ...more }],
});
const copied = () =>
  [1, 2, 3].reduce((states, unit) => done(states, unit, [RANGES[unit - 1] ?? {}]), freshStates(piece));

describe("hashes that a worker packs", () => {
  const three = [fileEntry("a", 1), fileEntry("b", 2), fileEntry("c", 3)];
  const batch = { entries: three, units: planUnits(three, MIB, "even") };
  const tell = (states: UnitStates, hashes: readonly string[], more: object = {}) => {
    const plain = { worker_id: "w", success: true, items: [], failures: [], message: "", dial_failed: false };
    const result = { ...plain, item_hashes: packHashes(hashes), ...more };
    return applyResult(batch, leaseUnit(states, 0, "w"), {
      unit: 0,
      attempt: (states.units[0]?.attempt ?? 0) + 1,
      round: 0,
      result,
    });
  };

  test("are those of the items that were given out, in their order", () => {
    const { answer, states } = tell(freshStates(batch), [hashFor("a"), hashFor("b"), hashFor("c")]);
    expect(answer).toBe("ack");
    expect(states.units[0]).toMatchObject({ state: "done", hashes: [hashFor("a"), hashFor("b"), hashFor("c")] });
  });

  test("leave open what has none, and what failed; the next lease has these alone", () => {
    const failures = [{ path: "b", code: "io", message: "so" }];
    const first = tell(freshStates(batch), ["", hashFor("b"), hashFor("c")], { success: false, failures });
    expect(first.states.units[0]).toMatchObject({ state: "waiting", hashes: [null, null, hashFor("c")] });
    const second = tell(first.states, [hashFor("a"), hashFor("b")]);
    expect(second.states.units[0]).toMatchObject({ state: "done", hashes: [hashFor("a"), hashFor("b"), hashFor("c")] });
  });

  test("tell whose fault the rest is: that of who tells it before what it heard of the source, and of all or a part", () => {
    const own = { path: "a", code: "io", message: "own" };
    const heard = { path: "b", code: "io", message: "heard", source_worker: "src" };
    const problemWith = (hashes: readonly string[], failures: readonly object[]) =>
      tell(freshStates(batch), hashes, { success: false, failures }).problem;
    expect(problemWith(["", "", hashFor("c")], [own, heard])).toEqual({ code: "io", message: "own", isAll: false });
    expect(problemWith(["", "", hashFor("c")], [heard])).toMatchObject({ message: "heard", source: "src" });
    expect(problemWith(["", "", ""], [own])?.isAll).toBe(true);
  });

  test("are of no use where they are not as many as were given out", () => {
    for (const hashes of [[hashFor("a")], [hashFor("a"), hashFor("b"), hashFor("c"), hashFor("d")]]) {
      const { states, problem } = tell(freshStates(batch), hashes);
      expect(states.units[0]).toMatchObject({ state: "waiting", hashes: [null, null, null] });
      expect(problem?.message).toContain("without the hash of what was written");
    }
  });
});

describe("units", () => {
  test("are batches of whole files, and ranges of a long one with its end", () => {
    expect(
      piece.units.map(({ kind, items, bytes }) => [kind, items.map(({ offset, length }) => [offset, length]), bytes]),
    ).toEqual([
      ["copy", [[0, 10]], 10],
      ["copy", [[0, MIB]], MIB],
      ["copy", [[MIB, MIB]], MIB],
      ["copy", [[2 * MIB, 1]], 1],
      ["finish", [[0, 2 * MIB + 1]], 0],
    ]);
  });

  test("of a piece's last long file become shorter towards its end, so that connections end together", () => {
    const long = (path: string, mebibytes: number) => fileEntry(path, mebibytes * MIB);
    const [file, chunk] = [long("one", 1024), 64 * MIB];
    const cut = planUnits([file], chunk, "tapered");
    const lengths = cut.flatMap(({ kind, bytes }) => (kind === "copy" ? [bytes / MIB] : []));
    expect(lengths.slice(0, 9)).toEqual([64, 64, 64, 64, 64, 64, 64, 64, 64]);
    expect(lengths.slice(9)).toEqual([
      56, 49, 43, 38, 33, 29, 25, 22, 20, 17, 15, 13, 11, 10, 9, 8, 8, 8, 8, 8, 8, 8, 2,
    ]);
    for (const [index, unit] of cut.entries()) {
      const offset = lengths.slice(0, index).reduce((sum, length) => sum + length * MIB, 0);
      if (unit.kind === "copy") expect(unit.items).toEqual([{ entry: 0, offset, length: unit.bytes }]);
    }
    // All but the last are cut as ever; so is what is no longer than it is worth, and whatever an earlier version has begun.
    const evenly = planUnits([file, long("two", 100)], chunk, "even").length;
    const last = planUnits([file, long("two", 100)], chunk, "tapered");
    expect(last.filter(({ part }) => part?.entry === 0)).toHaveLength(17);
    expect(last.length).toBeGreaterThan(evenly);
    expect(planUnits([long("small", 8)], 4 * MIB, "tapered")).toEqual(planUnits([long("small", 8)], 4 * MIB, "even"));
  });

  test("of a file of 10 TiB are not more than fit, and pieces of a page stay small", () => {
    const huge = fileEntry("huge", 10 * 1024 ** 4);
    const holes = planUnits([{ ...huge, allocated: 5 * MIB }], MIB, "even");
    // Five ranges with a chunk of data each, and the end of the file.
    expect(holes).toHaveLength(6);
    expect(holes.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(huge.size);
    for (const size of [MIB + 1, 3 * MIB, huge.size]) {
      const empty = planUnits([{ ...huge, size, allocated: 0 }], MIB, "even");
      expect(empty.map(({ kind }) => kind)).toEqual(["copy", "copy", "finish"]);
      // A range that is all of its file would be a whole file to who writes it.
      for (const { bytes } of empty) expect(bytes).toBeLessThan(size);
    }
    for (const shape of PLAN_SHAPES) {
      for (const [file, chunk] of [
        [huge, MIB],
        [fileEntry("long", 64 * 1024 ** 3), 64 * MIB],
        [fileEntry("longest", 976 * 1024 ** 3), 1024 * MIB],
      ] as const) {
        const units = planUnits([file], chunk, shape);
        expect(units.length).toBeLessThanOrEqual(MAX_RANGES_A_FILE + 1);
        expect(units.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(file.size);
      }
    }
    const pieces = cutPage([huge, huge, ...entries], MIB);
    expect(pieces.map((cut) => cut.length)).toEqual([1, 1, 3]);
  });
});

describe("a result", () => {
  test("is taken once, of the present attempt and from who has it", () => {
    const leased = leaseUnit(freshStates(piece), 0, "w");
    const first = told(leased, 0, { items: [item("small", 0, 10)] });
    expect(first.answer).toBe("ack");
    expect(told(first.states, 0, { items: [item("small", 0, 10)] }).answer).toBe("duplicate");
    expect(told(leaseUnit(leased, 0, "v"), 0).answer).toBe("stale");
    const older = applyResult(piece, leaseUnit(leased, 0, "w"), {
      unit: 0,
      attempt: 1,
      round: 0,
      result: {
        worker_id: "w",
        success: true,
        items: [item("small", 0, 10)],
        failures: [],
        message: "",
        dial_failed: false,
      },
    });
    expect(older.answer).toBe("stale");
    expect(summarize(piece, first.states)).toMatchObject({ bytesDone: 10, filesDone: 1, open: 4 });
  });

  test("of the end of a file counts it, and only then", () => {
    expect(isReady(piece, done(freshStates(piece), 1, [RANGES[0] ?? {}]), 4)).toBe(false);
    expect(isReady(piece, copied(), 4)).toBe(true);
    expect(summarize(piece, copied())).toMatchObject({ filesDone: 0, bytesDone: 2 * MIB + 1 });
    expect(summarize(piece, done(copied(), 4, [item("big", 0, 2 * MIB + 1)]))).toMatchObject({ filesDone: 1, open: 1 });
  });

  test("that finds a range corrupt has that range moved again, and no other", () => {
    const torn = told(
      leaseUnit(copied(), 4, "w"),
      4,
      failing("corrupt", "big", { blocks: [{ offset: MIB + 5, length: 1 }] }),
    );
    expect(torn.states.units.map(({ state }) => state)).toEqual(["waiting", "done", "waiting", "done", "waiting"]);
  });

  test.each<[TransferFailureCode, number]>([
    ["io", 1],
    ["denied", 1],
    ["no-space", 0],
    ["read-only", 0],
    ["unreachable", 0],
    ["cancelled", 0],
  ])("of %s counts %i of the attempts that it has", (code, failed) => {
    const after = told(leaseUnit(freshStates(piece), 0, "w"), 0, failing(code, "small"));
    expect(after.states.units[0]).toMatchObject({ state: "waiting", failed });
  });

  test("of the last attempt gives the file up with all its parts, and a retry begins them again", () => {
    let states = freshStates(piece);
    for (let attempt = 0; attempt < MAX_FAILED; attempt++)
      states = told(leaseUnit(states, 1, "w"), 1, failing("io", "big")).states;
    expect(states.units.map(({ state }) => state)).toEqual(["waiting", "done", "done", "done", "done"]);
    expect(summarize(piece, states).failures).toEqual([{ path: "big", code: "io", message: "so", round: 0 }]);
    const again = retryFailed(piece, states, 0);
    expect(again.units.map(({ state }) => state)).toEqual(["waiting", "waiting", "waiting", "waiting", "waiting"]);
    expect(summarize(piece, again).failures).toEqual([]);
  });

  test("of a file that changed is final for its listing, and no failure once it was listed anew", () => {
    const { states } = told(leaseUnit(freshStates(piece), 0, "w"), 0, failing("source-changed", "small"));
    expect(states.units[0]?.state).toBe("done");
    expect(retryFailed(piece, states, 1).units[0]?.state).toBe("done");
    expect(retryFailed(piece, states, 0).units[0]?.state).toBe("waiting");
  });
});
