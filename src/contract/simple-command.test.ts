import { expect, test } from "vitest";
import { parseWireEvent } from "./parse-wire-event.ts";

const parse = (value: unknown) => parseWireEvent("", JSON.stringify(value), { outputTemplate: undefined });
const session = { user: "anna", template: { image: "nginx:1" } };

test("a command in the simple form is the command of the full form", () => {
  expect(
    parse({ eventType: "StartSession", id: "web", generation: 3, session, deadline: "2026-01-15T10:30:45Z" }),
  ).toEqual({
    ok: {
      kind: "command",
      id: "StartSession.web.3",
      name: "StartSession",
      args: { spec: { ...session, id: "web" }, generation: 3 },
      deadlineMs: Date.parse("2026-01-15T10:30:45Z"),
    },
    unknownFields: [],
  });
  expect(parse({ eventType: "StopSession", id: "web", generation: 4, commandId: "c-1", colour: 1 })).toMatchObject({
    ok: { id: "c-1", name: "StopSession", args: { id: "web", generation: 4 }, deadlineMs: undefined },
    unknownFields: ["colour"],
  });
});

test("an activity call needs an id of its own each time", () => {
  expect(parse({ eventType: "TouchSession", id: "web", commandId: "t-1" })).toMatchObject({
    ok: { id: "t-1", args: { id: "web" } },
  });
  expect(parse({ eventType: "TouchSession", id: "web" })).toEqual({
    bad: "invalid",
    message: "commandId: given nothing; allowed: a text, another one for each call",
  });
});

test("a command without a session's id is bad", () => {
  expect(parse({ eventType: "WakeSession", generation: 3 })).toMatchObject({
    bad: "invalid",
    message: expect.stringMatching(/^id: given nothing/),
  });
});
