import { getEventListeners, once } from "node:events";
import { expect, test } from "vitest";
import { createFakeClock } from "./clock.fake.ts";
import { AppError } from "./errors.ts";
import { withinLimit } from "./within-limit.ts";

const late = () => new AppError("timeout", "no answer within 1 s");

const untilAborted = async (signal: AbortSignal): Promise<never> => {
  if (!signal.aborted) await once(signal, "abort");
  throw signal.reason;
};

test("work that ends in time is what comes of it, and leaves nothing behind at the caller's signal", async () => {
  const clock = createFakeClock();
  const { signal } = new AbortController();
  expect(await withinLimit({ ms: 1000, late, signal }, clock, async () => "done")).toBe("done");
  await expect(
    withinLimit({ ms: 1000, late, signal }, clock, async () => {
      throw new AppError("refused", "no");
    }),
  ).rejects.toThrow("no");
  expect(clock.pending()).toBe(0);
  expect(getEventListeners(signal, "abort")).toHaveLength(0);
});

test("work is asked to end when the time is up", async () => {
  const clock = createFakeClock();
  const work = expect(withinLimit({ ms: 1000, late }, clock, untilAborted)).rejects.toThrow("no answer within 1 s");
  await clock.advance(1000);
  await work;
});

test("work is asked to end with the caller's own reason, also where that came before it began", async () => {
  const clock = createFakeClock();
  const life = new AbortController();
  const work = expect(withinLimit({ ms: 1000, late, signal: life.signal }, clock, untilAborted)).rejects.toThrow(
    "enough",
  );
  life.abort(new AppError("cancelled", "enough"));
  await work;
  await expect(withinLimit({ ms: 1000, late, signal: life.signal }, clock, untilAborted)).rejects.toThrow("enough");
  expect(clock.pending()).toBe(0);
});
