import { expect, it } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { LINGER_MS, lingering } from "./linger.ts";

it("the other side hears of a long wait again and again, of a short one not, and nothing after its end", async () => {
  const clock = createFakeClock();
  let said = 0;
  const link = { linger: () => void said++ };
  expect(await lingering(Promise.resolve("at once"), { link, clock })).toBe("at once");
  const wait = Promise.withResolvers<string>();
  const waiting = lingering(wait.promise, { link, clock });
  for (let times = 1; times <= 5; times++) {
    await clock.advance(LINGER_MS);
    expect(said).toBe(times);
  }
  wait.resolve("at last");
  expect(await waiting).toBe("at last");
  await clock.advance(10 * LINGER_MS);
  expect(said).toBe(5);
});

it("a wait that fails is over too", async () => {
  const clock = createFakeClock();
  let said = 0;
  const link = { linger: () => void said++ };
  await expect(lingering(Promise.reject(new TypeError("stopped")), { link, clock })).rejects.toThrow("stopped");
  await clock.advance(10 * LINGER_MS);
  expect(said).toBe(0);
});
