import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { type BoundedWait, boundedWait } from "./bounded-wait.ts";
import { createFakeClock } from "./clock.fake.ts";
import { AppError } from "./errors.ts";

function openWait(late: BoundedWait<string>["late"] = () => "late") {
  const clock = createFakeClock();
  const life = new AbortController();
  const heard = { begun: 0, left: 0 };
  const ends = Promise.withResolvers<{ give: (value: string) => void; fail: (reason: unknown) => void }>();
  const begin: BoundedWait<string>["begin"] = (give, fail) => {
    heard.begun++;
    ends.resolve({ give, fail });
    return () => heard.left++;
  };
  const start = () => boundedWait({ ms: 1000, begin, late }, { clock, signal: life.signal });
  const leftBehind = () => clock.pending() + getEventListeners(life.signal, "abort").length;
  return { clock, life, heard, ends: ends.promise, start, leftBehind };
}

test("what comes ends the wait, whatever else comes after it", async () => {
  const { start, ends, heard, leftBehind, clock, life } = openWait();
  const waiting = start();
  const { give, fail } = await ends;
  give("first");
  give("second");
  fail(new AppError("internal", "third"));
  await clock.advance(2000);
  life.abort(new AppError("cancelled", "enough"));
  expect(await waiting).toBe("first");
  expect(heard).toEqual({ begun: 1, left: 1 });
  expect(leftBehind()).toBe(0);
});

test("when the time is up it comes to what was said for that, or rejects with it", async () => {
  const quiet = openWait();
  const waiting = quiet.start();
  await quiet.clock.advance(1000);
  expect(await waiting).toBe("late");
  expect(quiet.leftBehind()).toBe(0);

  const loud = openWait(() => {
    throw new AppError("timeout", "nobody came");
  });
  const refused = expect(loud.start()).rejects.toThrow("nobody came");
  await loud.clock.advance(1000);
  await refused;
  expect(loud.heard.left).toBe(1);
  expect(loud.leftBehind()).toBe(0);
});

test("the signal ends it with its reason, and lets none begin after that", async () => {
  const { start, heard, life, leftBehind } = openWait();
  const waiting = expect(start()).rejects.toThrow("enough");
  life.abort(new AppError("cancelled", "enough"));
  await waiting;
  expect(heard.left).toBe(1);
  expect(leftBehind()).toBe(0);
  await expect(start()).rejects.toThrow("enough");
  expect(heard.begun).toBe(1);
});

test("whoever ends the wait while it says what being late comes to is heard, and once", async () => {
  let settle: ((value: string) => void) | undefined;
  const clock = createFakeClock();
  const waiting = boundedWait<string>(
    {
      ms: 10,
      begin: (give) => {
        settle = give;
        return () => undefined;
      },
      late: () => {
        settle?.("gone");
        return "late";
      },
    },
    { clock, signal: new AbortController().signal },
  );
  await clock.advance(10);
  expect(await waiting).toBe("gone");
});
