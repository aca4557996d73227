import { expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createMemoryLog } from "../../base/log.ts";
import type { Report } from "../../contract/report.ts";
import { memoryStore } from "../live-hub.fake.ts";
import { NOW, reportOf } from "../store/store.fake.ts";
import { storeUnavailable } from "../store/store-error.ts";
import { createSampleBook } from "./sample-book.ts";

const reportWith = (cpuPercent: number): Report => ({ ...reportOf("x", "s", 1), node: { cpuPercent } });

test("what the store refuses is handed in again with what came meanwhile, and what it took is not", async () => {
  const whole = memoryStore();
  const taken: [string, number][] = [];
  let refused: string | undefined = "b7";
  const store = {
    ...whole,
    telemetry: {
      ...whole.telemetry,
      append: async (boxId: string, samples: readonly unknown[]) => {
        if (boxId === refused) throw storeUnavailable("away");
        taken.push([boxId, samples.length]);
      },
    },
  };
  const clock = createFakeClock(NOW);
  const book = createSampleBook({ store, clock, log: createMemoryLog() });
  const stop = new AbortController();
  const done = book.run(stop.signal);
  const ids = Array.from({ length: 40 }, (_, n) => `b${n}`);
  for (const id of ids) book.note(id, reportWith(5));
  await clock.advance(1000);
  // The first sixteen were asked for together; nobody after the one that was refused.
  expect(taken.map(([id]) => id)).toEqual(ids.slice(0, 16).filter((id) => id !== "b7"));
  refused = undefined;
  book.note("b7", reportWith(6));
  await clock.advance(2000);
  expect(taken.map(([id]) => id).sort()).toEqual(ids.toSorted());
  expect(taken).toContainEqual(["b7", 2]);
  stop.abort();
  await done;
  expect(book.dropped()).toBe(0);
});
