import type { Clock } from "./base/clock.ts";
import { createHttpFetch } from "./base/http-fetch.ts";
import type { Random } from "./base/random.ts";
import type { Redactor } from "./base/redact.ts";
import { runLinkKeeper } from "./cli/link/keep-link.ts";
import { readKeeperInput } from "./cli/link/start-keeper.ts";
import { createRemoteClient } from "./client/remote-client.ts";
import { createRouterDialler } from "./remote/router-dialler.ts";

export interface KeepLinkDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly redactor: Redactor;
  readonly version: string;
  readonly pid: number;
}

/** It ends by itself, and its connections with it. */
const NEVER_MS = 24 * 3_600_000;

/** The process behind commands that keeps their connections to a hub and its routers. `input`: what `startKeeper` writes. */
export async function keepLink(input: string, deps: KeepLinkDeps, signal: AbortSignal): Promise<void> {
  const { clock, random, redactor, version, pid } = deps;
  const { endpoint, ...given } = readKeeperInput(input);
  redactor.addSecret(endpoint.token ?? "");
  const { ca } = endpoint;
  const fetch = createHttpFetch({ ca, idleMs: NEVER_MS });
  const authorities = ca === undefined ? [] : [ca];
  const findBox = async (box: string, stop: AbortSignal) => {
    // Of names, which few people give: it would be half of what a keeper holds.
    const [{ findBox: find }, { createHubClient }] = await Promise.all([
      import("./cli/find-box.ts"),
      import("./client/hub-client.ts"),
    ]);
    return (await find(createHubClient(endpoint, { fetch, clock, random }), box, stop)).id;
  };
  await runLinkKeeper(
    { ...given, version },
    {
      clock,
      pid,
      client: createRemoteClient(endpoint, { fetch, clock, random }),
      dialler: createRouterDialler(
        { client: `sluice/${version}`, warmMs: NEVER_MS },
        { clock, authorities: () => authorities },
      ),
      findBox,
    },
    signal,
  );
}
