import { randomUUID } from "node:crypto";
import { systemClock } from "../src/base/clock.ts";
import { createHttpFetch } from "../src/base/http-fetch.ts";
import { systemRandom } from "../src/base/random.ts";
import { openRemoteLink } from "../src/cli/remote/remote-link.ts";
import { type RunningExec, runExec } from "../src/cli/remote/run-exec.ts";
import { createHubClient } from "../src/client/hub-client.ts";
import { createWindowLedger } from "../src/remote/receive-window.ts";
import { createRemoteSession } from "../src/remote/remote-session.ts";
import { createRouterDialler } from "../src/remote/router-dialler.ts";

export interface WarmOperator extends Disposable {
  /** A session of its own. Rejects where none could be opened. */
  run(argv: readonly string[]): Promise<RunningExec>;
}

/** The parts of `sluice exec` in a process that lasts: its connections to hub and router are there when a command comes. */
export function createWarmOperator(
  { box, origin, adminToken }: { readonly box: string; readonly origin: string; readonly adminToken: string },
  signal: AbortSignal,
): WarmOperator {
  const clock = systemClock;
  const hub = createHubClient(
    { hub: origin, token: adminToken },
    { fetch: createHttpFetch({ ca: undefined }), clock, random: systemRandom },
  );
  const dialler = createRouterDialler({ client: "warm" }, { clock, authorities: () => [] });
  const ledger = createWindowLedger();
  return {
    run: async (argv) => {
      const session = createRemoteSession({ side: "operator", program: "warm" }, { clock, newId: randomUUID, ledger });
      const silent = { tell: () => undefined, hint: () => undefined };
      const link = await openRemoteLink(
        {
          box,
          create: { operation: { kind: "exec", argv: [...argv], pty: false, detach: false } },
          traffic: "bulk",
          isSealed: false,
        },
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
      const streams = { stdin: undefined, stdout: nowhere, stderr: nowhere, terminal: undefined };
      return runExec(what, streams, { link, clock });
    },
    [Symbol.dispose]: () => dialler.close(),
  };
}
