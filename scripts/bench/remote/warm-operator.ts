import { randomUUID } from "node:crypto";
import { systemClock } from "../../../src/base/clock.ts";
import { AppError } from "../../../src/base/errors.ts";
import { createHttpFetch } from "../../../src/base/http-fetch.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { openRemoteLink } from "../../../src/cli/remote/remote-link.ts";
import { runExec } from "../../../src/cli/remote/run-exec.ts";
import { createHubClient } from "../../../src/client/hub-client.ts";
import { createWindowLedger } from "../../../src/remote/receive-window.ts";
import { createRemoteSession } from "../../../src/remote/remote-session.ts";
import { createRouterDialler } from "../../../src/remote/router-dialler.ts";
import type { SluiceSite } from "./sluice-site.ts";

export interface WarmOperator extends Disposable {
  /** A session of its own, from the wish to the proved exit. Rejects unless it ends with 0. */
  run(argv: readonly string[]): Promise<void>;
}

/** The parts of `sluice exec` in a process that lasts: its connections to hub and router are there when a command comes. */
export function createWarmOperator({ box, origin, adminToken }: SluiceSite, signal: AbortSignal): WarmOperator {
  const clock = systemClock;
  const hub = createHubClient(
    { hub: origin, token: adminToken },
    { fetch: createHttpFetch({ ca: undefined }), clock, random: systemRandom },
  );
  const dialler = createRouterDialler({ client: "bench" }, { clock, authorities: () => [] });
  const ledger = createWindowLedger();
  return {
    run: async (argv) => {
      const session = createRemoteSession({ side: "operator", program: "bench" }, { clock, newId: randomUUID, ledger });
      const silent = { tell: () => undefined, hint: () => undefined };
      const link = await openRemoteLink(
        { box, create: { operation: { kind: "exec", argv: [...argv], pty: false, detach: false } }, lane: "bulk" },
        {
          hub: hub.remote,
          findBox: async (id) => id,
          dialler,
          openSession: async () => session,
          clock,
          random: systemRandom,
          ...silent,
        },
        signal,
      );
      const what = {
        kind: "exec",
        argv,
        env: {},
        cwd: undefined,
        user: undefined,
        pty: undefined,
        stdin: false,
      } as const;
      const nowhere = { write: () => Promise.resolve(true) };
      const { outcome } = runExec(
        what,
        { stdin: undefined, stdout: nowhere, stderr: nowhere, terminal: undefined },
        { link, clock },
      );
      const { exitCode, message } = await outcome;
      if (exitCode !== 0) throw new AppError("unavailable", `${argv.join(" ")} ended with ${exitCode}: ${message}`);
    },
    [Symbol.dispose]: () => dialler.close(),
  };
}
