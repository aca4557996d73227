import { expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createMemoryLog } from "../../base/log.ts";
import { createMemoryStore } from "../store/memory/memory-store.ts";
import type { EventSink } from "./event-sink.ts";
import { createPeopleFeed } from "./people-feed.ts";

/** A connection that takes everything, or nothing. */
function openSink() {
  const said: string[] = [];
  const state = { waitingBytes: 0 };
  const sink: EventSink = {
    open: () => undefined,
    send: (bytes) => void said.push(bytes.toString()),
    isOpen: () => true,
    waitingBytes: () => state.waitingBytes,
    bytesWritten: () => 0,
    onDrain: () => undefined,
    close: () => undefined,
  };
  return { sink, state, beats: () => said.filter((text) => text === ": beat 3\n\n").length };
}

test("whoever watches hears the hub at once and then every period, which it is told, unless it takes nothing", async () => {
  const clock = createFakeClock();
  const store = createMemoryStore({ newId: () => "store-1" });
  const feed = createPeopleFeed({ beatMs: 3000 }, { store, clock, log: createMemoryLog() });
  const stop = new AbortController();
  const done = feed.run(stop.signal);
  const [reader, sleeper] = [openSink(), openSink()];
  for (const { sink } of [reader, sleeper]) feed.enter({ sink, cursor: undefined });
  expect([reader.beats(), sleeper.beats()]).toEqual([1, 1]);
  sleeper.state.waitingBytes = 100;
  await clock.advance(30_000);
  expect(reader.beats()).toBe(11);
  expect(sleeper.beats()).toBe(1);
  stop.abort();
  await done;
});
