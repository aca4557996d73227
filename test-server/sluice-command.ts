import { execFile } from "node:child_process";
import type { AgentWorld } from "./agent-world.ts";
import { MAIN_PROGRAM } from "./main-program.ts";

const LIMIT_MS = 60_000;

export interface CommandEnd {
  readonly code: number | null;
  /** Both outputs, standard output first. */
  readonly text: string;
}

/** Runs `sluice ARGS` as a person on the box of this world would, to its end. */
export function runSluice(
  { stateDir, boxId }: Pick<AgentWorld, "stateDir" | "boxId">,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<CommandEnd> {
  return new Promise((done) => {
    const child = execFile(
      process.execPath,
      ["--no-warnings", MAIN_PROGRAM, ...args],
      {
        timeout: LIMIT_MS,
        maxBuffer: 64 * 1024 * 1024,
        env: {
          PATH: process.env["PATH"],
          HOME: stateDir,
          SLUICE_CONFIG: "/dev/null",
          SLUICE_STATE_DIR: stateDir,
          SLUICE_BOX_ID: boxId,
          ...environment,
        },
      },
      (_error, stdout, stderr) => done({ code: child.exitCode, text: `${stdout}${stderr}` }),
    );
  });
}
