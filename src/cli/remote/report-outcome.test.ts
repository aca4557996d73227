import { expect, test } from "vitest";
import { reportOutcome } from "./report-outcome.ts";

test("the exit status is the command's also where the reader of the status line has gone, and that is said", () => {
  const said: string[] = [];
  const io = {
    write: () => undefined,
    writeError: (text: string) => void said.push(text),
    isTerminal: false,
    hasColour: false,
    columns: undefined,
    ask: undefined,
    readInput: async () => "",
  };
  const outcome = { exitCode: 3, status: { kind: "exit", code: 3, verified: true }, isFailure: false } as const;
  const writeStatus = () => {
    throw new Error("EPIPE: broken pipe, write");
  };
  expect(reportOutcome(outcome, { writeStatus, isErrorTerminal: false }, io)).toBe(3);
  expect(said).toEqual(["sluice: --status-fd: EPIPE: broken pipe, write\n"]);
});
