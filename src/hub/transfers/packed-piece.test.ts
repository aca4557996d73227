import { expect, test } from "vitest";
import { packEntries, unpackEntries } from "./packed-piece.ts";
import { fileEntry } from "./transfer-world.fake.ts";

test("entries come back as they were, and a thousand that are alike take little room", () => {
  const entries = Array.from({ length: 1000 }, (_, index) => ({
    ...fileEntry(`dir/${index} %FF é`, index),
    generation: `2049:${index + 7_000_000}:${index}:17637950001${index}:17637950002${index}`,
  }));
  const packed = packEntries(entries);
  expect(unpackEntries(packed)).toEqual(entries);
  expect(packed.length).toBeLessThan(JSON.stringify(entries).length / 5);
});
