import { describe, expect, test } from "vitest";
import { parseSessionCommand, SESSION_COMMAND_ARGS, SESSION_COMMANDS } from "./session-command.ts";
import { sessionWorkload } from "./session-workload.ts";

const spec = { id: "web", user: "anna", template: { image: "nginx:1.27" } };

describe("args of a session command", () => {
  test("are read for each command", () => {
    expect(Object.keys(SESSION_COMMAND_ARGS)).toEqual([...SESSION_COMMANDS]);
    expect(parseSessionCommand("StartSession", { spec, generation: 3 })).toEqual({
      command: { name: "StartSession", spec, generation: 3 },
    });
    expect(parseSessionCommand("StopSession", { id: "web", generation: 4 })).toEqual({
      command: { name: "StopSession", id: "web", generation: 4 },
    });
    expect(parseSessionCommand("StopSession", { id: "web", generation: 4, volumes: "delete" })).toEqual({
      command: { name: "StopSession", id: "web", generation: 4, volumes: "delete" },
    });
    expect(parseSessionCommand("TouchSession", { id: "web" })).toEqual({
      command: { name: "TouchSession", id: "web" },
    });
  });

  test.each([
    ["StartSession", {}, "args.spec: given nothing; allowed: an object"],
    [
      "StartSession",
      { spec: { ...spec, id: "../../etc" }, generation: 1 },
      /^args\.spec\.id: given a text of 9 characters;/,
    ],
    [
      "StartSession",
      { spec: { ...spec, template: {} }, generation: 1 },
      /^args\.spec\.template: .*an image or a command/,
    ],
    ["StartSession", { spec, generation: 0 }, "args.generation: given 0; allowed: at least 1"],
    ["StopSession", { id: "a/b", generation: 1 }, /^args\.id: given a text of 3 characters;/],
    ["WakeSession", { id: "web", generation: "3" }, "args.generation: given a text of 1 character; allowed: a number"],
    [
      "StopSession",
      { id: "web", generation: 1, volumes: "lose" },
      /^args\.volumes: given a text of 4 characters; allowed: keep, delete/,
    ],
    [
      "WakeSession",
      { id: "web", generation: 1, volumes: "keep" },
      "args.volumes: given a text of 4 characters; allowed: no field of this name",
    ],
    [
      "StopSession",
      { id: "web", generation: 1, box: "other" },
      "args.box: given a text of 5 characters; allowed: no field of this name",
    ],
  ] as const)("that are wrong are told by one field (%#)", (name, args, message) => {
    const result = parseSessionCommand(name, args);
    expect("problem" in result ? result.problem : "").toEqual(
      typeof message === "string" ? message : expect.stringMatching(message),
    );
  });
});

test("limits and power lie beside the spec that a box is told", () => {
  const session = { ...spec, resources: { cpu: "500m", memory: "1Gi", gpus: 1 } };
  expect(sessionWorkload(session, { power: { state: "running", turn: 2 } })).toEqual({
    kind: "session",
    id: "web",
    resources: { cpu: "500m", memory: "1Gi" },
    power: { state: "running", turn: 2 },
    spec: { user: "anna", template: { image: "nginx:1.27" }, gpus: 1 },
  });
});
