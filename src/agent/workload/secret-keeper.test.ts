import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createFakeClock, type FakeClock } from "../../base/clock.fake.ts";
import { createRedactor, type Redactor } from "../../base/redact.ts";
import {
  createSecretKeeper,
  FORGET_AFTER_MS,
  FORGET_SOONEST_MS,
  type SecretHolder,
  type SecretKeeper,
  UNUSED_KEPT,
} from "./secret-keeper.ts";

let clock: FakeClock;
let redactor: Redactor;
let keeper: SecretKeeper;
let expected: Set<string>;
let holders: SecretHolder[];
let stop: AbortController;
let done: Promise<void>;

beforeEach(() => {
  clock = createFakeClock();
  redactor = createRedactor();
  expected = new Set();
  holders = [];
  keeper = createSecretKeeper({ clock, redactor, isExpected: (id) => expected.has(id), holders: () => holders });
  stop = new AbortController();
  done = keeper.run(stop.signal);
});
afterEach(async () => {
  stop.abort();
  await done;
});

function expectOf(id: string, key: string): void {
  expected.add(id);
  keeper.learn(id, { values: [key], urls: [] });
}
const isHidden = (key: string) => redactor.redact(`a line with ${key} in it`) === "a line with *** in it";
const PERIOD_MS = 30_000;
const hours = (count: number) => clock.advance(count * 3_600_000);

describe("what the redactor knows of workloads", () => {
  test("is kept while a workload is expected, running or not", async () => {
    expectOf("cam", "key-number-one");
    await hours(4);
    expect(isHidden("key-number-one")).toBe(true);
  });

  test("is kept while a process of it still stops, and a good while after, and is then forgotten", async () => {
    expectOf("cam", "key-number-one");
    holders = [{ id: "cam", launchedAtMs: clock.monotonicMs() }];
    expected.clear();
    await hours(3);
    expect(isHidden("key-number-one")).toBe(true);
    holders = [];
    await clock.advance(FORGET_AFTER_MS - PERIOD_MS);
    expect(isHidden("key-number-one")).toBe(true);
    await clock.advance(3 * PERIOD_MS);
    expect(isHidden("key-number-one")).toBe(false);
    expect(redactor.size()).toBe(0);
  });

  test("is kept of earlier settings while the process that has them goes on, as after an update that failed", async () => {
    expectOf("cam", "key-number-one");
    holders = [{ id: "cam", launchedAtMs: clock.monotonicMs() }];
    await hours(1);
    expectOf("cam", "key-number-two");
    await hours(4);
    expect([isHidden("key-number-one"), isHidden("key-number-two")]).toEqual([true, true]);
    holders = [{ id: "cam", launchedAtMs: undefined }];
    await hours(1);
    expect(isHidden("key-number-one")).toBe(true);
    holders = [{ id: "cam", launchedAtMs: clock.monotonicMs() }];
    await hours(1);
    expect([isHidden("key-number-one"), isHidden("key-number-two")]).toEqual([false, true]);
  });

  test("comes back with settings that come back", async () => {
    for (const key of ["key-number-one", "key-number-two", "key-number-one"]) expectOf("cam", key);
    await hours(1);
    expect([isHidden("key-number-one"), isHidden("key-number-two")]).toEqual([true, false]);
  });

  test("of two workloads with one key outlives either of them", async () => {
    expectOf("one", "key-of-both-of-them");
    expectOf("two", "key-of-both-of-them");
    expected.delete("one");
    await hours(1);
    expect(isHidden("key-of-both-of-them")).toBe(true);
  });

  test("stays bounded while keys change all the time, and never lacks one of the last minute", async () => {
    const keys = 3 * UNUSED_KEPT;
    for (let turn = 0; turn < keys; turn++) {
      expectOf("cam", `key-number-${10_000 + turn}`);
      holders = [{ id: "cam", launchedAtMs: clock.monotonicMs() }];
      if (turn % 100 === 99) await clock.advance(1000);
    }
    expect(isHidden(`key-number-${10_000 + keys - 100 * 50}`)).toBe(true);
    await clock.advance(FORGET_SOONEST_MS + 3 * PERIOD_MS);
    expect(redactor.size()).toBeLessThan((UNUSED_KEPT + 200) * 8);
    expect(isHidden(`key-number-${10_000 + keys - 1}`)).toBe(true);
    holders = [{ id: "cam", launchedAtMs: clock.monotonicMs() }];
    await hours(1);
    expect(redactor.size()).toBeLessThan(8);
  });
});
