import { readFile } from "node:fs/promises";
import { systemClock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import { createLocalAgent } from "../client/local-agent.ts";
import type { CommandContext, CommandIo } from "./command-context.ts";

/** A context for tests: real files, clock and socket; output is collected; what no test asks for is refused. */
export interface TestContext extends CommandContext {
  readonly out: () => string;
  readonly err: () => string;
}

export function createTestContext(
  stateDir: string,
  given: Partial<CommandContext> & { readonly terminal?: Partial<CommandIo> } = {},
): TestContext {
  const { terminal, ...context } = given;
  let out = "";
  let err = "";
  const refuse = () => Promise.reject(new AppError("internal", "this test hands in no such thing"));
  return {
    version: "0.1.0",
    io: {
      write: (text) => {
        out += text;
      },
      writeError: (text) => {
        err += text;
      },
      isTerminal: false,
      hasColour: false,
      columns: undefined,
      ...terminal,
    },
    signal: new AbortController().signal,
    env: { SLUICE_STATE_DIR: stateDir, SLUICE_CONFIG: "/dev/null" },
    facts: { hostname: "gate", isRoot: false, homeDirectory: stateDir, cwd: stateDir },
    clock: systemClock,
    readTextFile: (path) => readFile(path, "utf8"),
    connectAgent: (socketPath) => createLocalAgent({ socketPath, timeoutMs: 5000 }),
    runAgent: refuse,
    runHub: refuse,
    cleanupWithoutAgent: refuse,
    enrol: refuse,
    runProgram: refuse,
    readFfmpeg: refuse,
    ...context,
    out: () => out,
    err: () => err,
  };
}
