import { expect, test } from "vitest";
import type { ProcessExit } from "../../runtime/run-handle.ts";
import { classifySessionExit } from "./session-exit.ts";

const exit = (given: Partial<ProcessExit>): ProcessExit => ({
  code: null,
  signal: null,
  isAdopted: false,
  atMonotonicMs: 0,
  ...given,
});

test.for([
  { given: { code: 0 }, restart: undefined, verdict: { class: "completed", retry: "backoff" } },
  { given: { code: 1 }, restart: "always", verdict: { class: "failed", retry: "backoff" } },
  { given: { code: 127 }, restart: "always", verdict: { class: "cannot-run", retry: "long" } },
  { given: { code: 0 }, restart: "on-failure", verdict: { class: "completed", retry: "never" } },
  { given: { code: 2 }, restart: "on-failure", verdict: { class: "failed", retry: "backoff" } },
  { given: {}, restart: "on-failure", verdict: { class: "unseen", retry: "backoff" } },
  { given: { code: 2 }, restart: "never", verdict: { class: "failed", retry: "never" } },
  { given: { signal: "SIGSEGV" }, restart: undefined, verdict: { class: "signal", retry: "backoff" } },
  { given: { signal: "SIGKILL" }, restart: undefined, verdict: { class: "killed", retry: "backoff" } },
  {
    given: { code: 137, reason: "oom-killed" },
    restart: undefined,
    verdict: { class: "oom-killed", retry: "backoff" },
  },
  { given: { code: 127, reason: "dead" }, restart: undefined, verdict: { class: "dead", retry: "backoff" } },
] as const)("$given with restart $restart is $verdict", ({ given, restart, verdict }) => {
  expect(classifySessionExit(exit(given), [], restart)).toEqual(verdict);
});

test("the last line of its output is shown", () => {
  expect(classifySessionExit(exit({ code: 1 }), ["one", "no such table"])).toMatchObject({ evidence: "no such table" });
});
