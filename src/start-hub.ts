import { randomBytes, randomUUID } from "node:crypto";
import type { Writable } from "node:stream";
import type { Clock } from "./base/clock.ts";
import { systemRandom } from "./base/random.ts";
import type { Redactor } from "./base/redact.ts";
import type { RunProgram } from "./base/spawn.ts";
import { createWinstonLog } from "./base/winston-log.ts";
import { renderHubStart } from "./cli/render-hub-start.ts";
import type { HubOptions } from "./config/hub-options.ts";
import { findPageDirectories } from "./hub/http/page-directories.ts";
import { runHub } from "./hub/hub.ts";
import { createRouter, ROUTER_DEFAULTS } from "./router/router-server.ts";

export interface HubProcess {
  readonly clock: Clock;
  readonly redactor: Redactor;
  readonly runProgram: RunProgram;
  readonly version: string;
  readonly hostname: string;
  readonly console: { readonly form: "plain" | "journal"; readonly stream: Writable };
  readonly newAdminToken: boolean;
  /** For the person who starts it. The log never gets what is written here. */
  readonly write: (text: string) => void;
}

/** A hub with the log, the chance and the files of this process. */
export async function startHub(options: HubOptions, from: HubProcess, stop: AbortSignal): Promise<void> {
  const { clock, redactor, runProgram, version, hostname } = from;
  const sink = createWinstonLog(
    { level: options.log.level, maxFileBytes: 0, keepFiles: 0, console: from.console.form },
    { clock, redact: redactor.redact, stream: from.console.stream },
  );
  try {
    await runHub(
      options,
      {
        clock,
        random: systemRandom,
        log: sink.for("HUB"),
        runProgram,
        newId: () => randomUUID(),
        newSecret: () => randomBytes(32).toString("base64url"),
        version,
        hostname,
        pages: findPageDirectories(import.meta.url),
        createRouter: ({ id, sessions }, deps) =>
          // How many an operator may have the hub says, which knows tokens of one name apart.
          createRouter(
            { ...ROUTER_DEFAULTS, id, hasLanes: true, limits: { sessions, sessionsPerOperator: sessions } },
            deps,
          ),
        newAdminToken: from.newAdminToken,
        announce: (started) => from.write(renderHubStart(started)),
      },
      stop,
    );
  } finally {
    await sink.close();
  }
}
