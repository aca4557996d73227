import { expect, test } from "vitest";
import { createFakeClock } from "../../src/base/clock.fake.ts";
import { parseWireEvent } from "../../src/contract/parse-wire-event.ts";
import { eventOfCommand } from "../sse/set-events.ts";
import { type CommandDelivery, createCommandBook, type SentCommand } from "./command-book.ts";

function createWorld() {
  const clock = createFakeClock();
  const delivered: string[] = [];
  const way: { now: CommandDelivery } = { now: "once" };
  const book = createCommandBook(
    { keep: 3 },
    { clock, delivery: () => way.now, deliver: ({ id }) => void delivered.push(id) },
  );
  const send = (id: string) => book.send({ id, name: "x", args: {}, deadlineMs: clock.wallMs() + 5000 });
  return { clock, delivered, way, book, send };
}

test("commands go out once, twice, in the wrong order, or after their deadline", async () => {
  const { clock, delivered, way, send } = createWorld();
  send("a");
  way.now = "twice";
  send("b");
  way.now = "swapped";
  send("c");
  send("d");
  way.now = "late";
  send("e");
  expect(delivered).toEqual(["a", "b", "b", "d", "c"]);
  await clock.advance(5999);
  expect(delivered).toHaveLength(5);
  await clock.advance(1);
  expect(delivered.at(-1)).toBe("e");
});

test("answers are kept with their commands, how often they come is counted, and the oldest commands go", () => {
  const { book, send } = createWorld();
  for (const id of ["a", "b", "c", "d"]) send(id);
  const result = { id: "d", ok: true, text: "started", finishedAt: "2026-01-15T10:30:45Z" };
  book.heard({ boxId: "north-1", commandResults: [result] });
  book.heard({ boxId: "north-1", commandResults: [result, { ...result, id: "a" }] });
  expect(book.list().map(({ id }) => id)).toEqual(["b", "c", "d"]);
  expect(book.list().at(-1)).toMatchObject({ answers: 2, answer: { ok: true, text: "started", box: "north-1" } });
});

test("each form of a command means the same to an agent", () => {
  const spec = { id: "web", user: "anna", template: { image: "nginx:1" } };
  const deadlineMs = Date.parse("2026-01-15T10:30:45Z");
  const commands: readonly SentCommand[] = [
    { id: "c-1", name: "StartSession", args: { spec, generation: 3 }, deadlineMs },
    { id: "c-2", name: "StopSession", args: { id: "web", generation: 4 }, deadlineMs },
    { id: "c-3", name: "TouchSession", args: { id: "web" }, deadlineMs },
    { id: "c-4", name: "reconcile", args: {}, deadlineMs },
  ];
  for (const command of commands) {
    for (const form of ["typed", "simple", "starts"] as const) {
      const lines = eventOfCommand(form, command).split("\n");
      const field = (name: string) =>
        lines
          .filter((line) => line.startsWith(`${name}: `))
          .map((line) => line.slice(name.length + 2))
          .join("\n");
      const parsed = parseWireEvent(field("event"), field("data"), { outputTemplate: undefined });
      expect(parsed).toEqual({ ok: { kind: "command", ...command }, unknownFields: [] });
    }
  }
});
