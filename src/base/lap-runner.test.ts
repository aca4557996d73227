import { expect, test } from "vitest";
import { createLapRunner } from "./lap-runner.ts";

function createGatedLaps() {
  const gates: PromiseWithResolvers<void>[] = [];
  const laps = createLapRunner(() => {
    const gate = Promise.withResolvers<void>();
    gates.push(gate);
    return gate.promise;
  });
  return { gates, laps };
}

test("many wakes during a lap cause exactly one more", async () => {
  const { gates, laps } = createGatedLaps();
  const first = laps.wake();
  const later = [laps.wake(), laps.wake(), laps.wake()];
  expect(gates).toHaveLength(1);
  gates[0]?.resolve();
  await first;
  await new Promise((resolve) => setImmediate(resolve));
  expect(gates).toHaveLength(2);
  gates[1]?.resolve();
  await Promise.all(later);
  await laps.idle();
  expect(gates).toHaveLength(2);
});

test("a lap that fails rejects those who wait for it and stops nothing", async () => {
  const { gates, laps } = createGatedLaps();
  const first = laps.wake();
  const second = laps.wake();
  gates[0]?.reject(new Error("broken"));
  await expect(first).rejects.toThrow("broken");
  await new Promise((resolve) => setImmediate(resolve));
  gates[1]?.resolve();
  await expect(second).resolves.toBeUndefined();
});
