import { expect, test } from "vitest";
import { runServices, type Service, untilAborted } from "./service.ts";

function createRecorder() {
  const events: string[] = [];
  const service = (name: string, work: (signal: AbortSignal) => Promise<void> = untilAborted): Service => ({
    name,
    run: async (signal) => {
      events.push(`${name} starts`);
      await work(signal);
      events.push(`${name} stops`);
    },
  });
  return { events, service };
}

test("services start in order and stop in reverse", async () => {
  const { events, service } = createRecorder();
  const stop = new AbortController();
  const done = runServices([service("a"), service("b")], stop.signal);
  stop.abort();
  await done;
  expect(events).toEqual(["a starts", "b starts", "b stops", "a stops"]);
});

test("one that breaks ends the others and gives its reason", async () => {
  const { events, service } = createRecorder();
  const broken = service("broken", async () => {
    throw new TypeError("no disk");
  });
  await expect(runServices([service("a"), broken, service("c")], new AbortController().signal)).rejects.toThrow(
    "no disk",
  );
  expect(events).toContain("a stops");
});

test("nothing starts under a signal that has already ended", async () => {
  const { events, service } = createRecorder();
  await runServices([service("a")], AbortSignal.abort());
  expect(events).toEqual([]);
});
