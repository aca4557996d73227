import { expect, test } from "vitest";
import type { SessionState, SessionView } from "../contract/fleet/session.ts";
import { hasCome, type SessionGoal, stateText } from "./wait-for-session.ts";

const AT = "2026-01-15T10:30:45.000Z";

function sessionIn(state: SessionState, turn = 3): SessionView {
  return {
    id: "web",
    revision: 1,
    user: "anna",
    state,
    since: AT,
    box: "north-1",
    power: { state: "running", turn: 3 },
    session: { user: "anna", turn },
    wish: { id: "web", user: "anna", template: { image: "nginx" } },
    createdAt: AT,
    updatedAt: AT,
  };
}

test.each<[SessionState, SessionGoal, boolean]>([
  ["running", "running", true],
  ["ended", "running", true],
  ["starting", "running", false],
  ["unplaced", "running", false],
  ["lost", "running", false],
  ["hibernated", "hibernated", true],
  ["hibernating", "hibernated", false],
  ["running", "gone", false],
  ["stopping", "gone", false],
])("a session that is %s, waited for until it is %s: %s", (state, until, isSo) => {
  expect(hasCome(sessionIn(state), "web", until)).toBe(isSo);
});

test("what its box said before the last wish counts for nothing", () => {
  expect(hasCome(sessionIn("ended", 2), "web", "running")).toBe(false);
  expect(hasCome(sessionIn("running", 2), "web", "running")).toBe(false);
});

test("one that is refused, or stopped by somebody else, is not waited for", () => {
  const refused = { ...sessionIn("refused"), reason: "policy.images" };
  expect(() => hasCome(refused, "web", "running")).toThrow("session web is refused on north-1: policy.images");
  expect(() => hasCome(sessionIn("stopping"), "web", "running")).toThrow("was stopped meanwhile");
  expect(() => hasCome(undefined, "web", "hibernated")).toThrow("was stopped meanwhile");
  expect(hasCome(undefined, "web", "gone")).toBe(true);
});

test("where nothing runs no box is named", () => {
  expect(stateText(sessionIn("unplaced"))).toBe("session web is unplaced");
});
