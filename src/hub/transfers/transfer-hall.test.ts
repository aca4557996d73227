import { expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createNotes, createRests } from "./transfer-hall.ts";

const REQUESTS = 5000;

test("of requests that failed and of which nobody asks any more nothing is kept, however many they were", async () => {
  const clock = createFakeClock();
  const [rests, notes] = [createRests({ clock }), createNotes({ clock })];
  for (let at = 0; at < REQUESTS; at++) {
    rests.rest(`uid-${at}:0.0`, 5000);
    notes.say(`request-${at}`, "no-space");
  }
  rests.rest("uid-late:0.0", 90_000);
  expect([rests.prune(), notes.prune()]).toEqual([REQUESTS + 1, REQUESTS]);
  await clock.advance(60_000);
  notes.say("request-late", "no-space");
  expect([rests.prune(), notes.prune()]).toEqual([1, 1]);
  expect(rests.isOver("uid-late:0.0")).toBe(false);
  expect(notes.of("request-late")).toBe("no-space");
});
