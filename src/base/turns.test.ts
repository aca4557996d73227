import { expect, test } from "vitest";
import { createTurns } from "./turns.ts";

test("what concerns one thing is done in order, a failure included; what concerns another does not wait", async () => {
  const inTurn = createTurns();
  const done: string[] = [];
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const first = inTurn("a", async () => {
    await held;
    done.push("a1");
    throw new TypeError("a1 failed");
  });
  const second = inTurn("a", async () => {
    done.push("a2");
    return 2;
  });
  await inTurn("b", async () => void done.push("b1"));
  expect(done).toEqual(["b1"]);
  release();
  await expect(first).rejects.toThrow("a1 failed");
  expect(await second).toBe(2);
  expect(done).toEqual(["b1", "a1", "a2"]);
});
