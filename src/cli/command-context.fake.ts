import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { readCertificateChain } from "../base/certificate-chain.ts";
import { systemClock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import { createHttpFetch } from "../base/http-fetch.ts";
import { createHubClient } from "../client/hub-client.ts";
import { createLocalAgent } from "../client/local-agent.ts";
import { inspectBackup } from "../hub/store/sqlite/inspect-backup.ts";
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
      ask: undefined,
      readInput: () => Promise.resolve(""),
      ...terminal,
    },
    signal: new AbortController().signal,
    env: { SLUICE_STATE_DIR: stateDir, SLUICE_CONFIG: "/dev/null" },
    facts: { hostname: "gate", isRoot: false, homeDirectory: stateDir, cwd: stateDir },
    clock: systemClock,
    readTextFile: (path) => readFile(path, "utf8"),
    writePrivateFile: async (path, text) => {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, text, { mode: 0o600 });
    },
    connectHub: async (endpoint) =>
      createHubClient(endpoint, {
        fetch: createHttpFetch({ ca: endpoint.ca }),
        clock: systemClock,
        random: () => 0.01,
      }),
    readCertificates: readCertificateChain,
    connectAgent: async (socketPath) => createLocalAgent({ socketPath, timeoutMs: 5000 }),
    runAgent: refuse,
    runHub: refuse,
    runRouter: refuse,
    inspectBackup: async (path) => inspectBackup(path),
    restoreHub: refuse,
    cleanupWithoutAgent: refuse,
    enrol: refuse,
    runProgram: refuse,
    readFfmpeg: refuse,
    remote: {
      openConsole: refuse,
      connectRemote: refuse,
      createSession: refuse,
      moveBytes: () => undefined,
      createDialler: refuse,
      random: () => 0.01,
      self: ["sluice"],
      runForeground: refuse,
      spawnDetached: refuse,
      pid: 0,
    },
    ...context,
    out: () => out,
    err: () => err,
  };
}
