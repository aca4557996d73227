import { readFileSync } from "node:fs";
import type { Action, TortureStream } from "./action.ts";
import type { PublisherWatch } from "./publisher-watch.ts";
import { resourcesOf } from "./resources.ts";
import type { Step } from "./schedule.ts";
import { findSecret } from "./secret-search.ts";
import type { Settled } from "./settle.ts";
import type { TortureWorld } from "./torture-world.ts";
import { violation } from "./violation.ts";

export interface Judged {
  readonly step: Step;
  readonly before: Settled;
  readonly settled: Settled;
  /** What the server expected before the step. */
  readonly formerly: readonly TortureStream[];
  readonly rivalsBefore: number;
}

/** A program that does the work of few streams needs no more. */
const MOST_RSS_MB = 200;
const MOST_FDS = 60;
const MOST_FDS_A_STREAM = 6;

/** Everything that must hold besides that all agree. */
export async function checkInvariants(
  { step, before, settled, formerly, rivalsBefore }: Judged,
  { world, watch }: { readonly world: TortureWorld; readonly watch: PublisherWatch },
): Promise<void> {
  const harm = world.sentinels.harm();
  if (harm !== undefined) throw violation("no stranger", harm);
  if (readFileSync(world.precious.path, "utf8") !== world.precious.text) {
    throw violation("no stranger", "a file of somebody else was written through a link");
  }
  const doubled = watch.doubled();
  if (doubled !== undefined) throw violation("one publisher", doubled);

  const acts = step.actions.map(({ action }) => action);
  if (!acts.some(isOnPeer)) {
    const came = (await rivals(world)) - rivalsBefore;
    if (came > 0) throw violation("one publisher", `the receiver turned ${came} second publishers away`);
    const touched = new Set(acts.flatMap((action) => (action.kind === "ffmpeg" ? action.id : [])));
    // With one of few down, a shrink stops no more than two, and may.
    const isGuarded = touched.size === 0 || !acts.some(({ kind }) => kind === "shrink");
    const same = step.expected.filter(({ id, version }) =>
      formerly.some((stream) => stream.id === id && stream.version === version),
    );
    for (const { id } of isGuarded ? same : []) {
      if (touched.has(id) || before.pids.get(id) === settled.pids.get(id)) continue;
      throw violation(
        "kept",
        `${id} was pid ${before.pids.get(id)} and is ${settled.pids.get(id)}; nothing touched it`,
      );
    }
  }

  const { fds, rssMB } = resourcesOf(world.agent.pid() ?? 0);
  const mostFds = MOST_FDS + MOST_FDS_A_STREAM * step.expected.length;
  if (fds > mostFds) throw violation("resources", `the agent holds ${fds} descriptors; allowed: ${mostFds}`);
  if (rssMB > MOST_RSS_MB)
    throw violation("resources", `the agent holds ${rssMB.toFixed(0)} MB; allowed: ${MOST_RSS_MB}`);

  const place = await findSecret(step.expected, world);
  if (place !== undefined) throw violation("no secret", `a stream key or the token stands in ${place}`);
}

/** How often the receiver had to turn a second publisher away. */
export async function rivals({ server }: TortureWorld): Promise<number> {
  return (await server.publishers()).reduce((sum, publisher) => sum + publisher.rivals, 0);
}

/** Streams may suffer, and come back. */
export function isOnPeer({ kind }: Action): boolean {
  return kind === "server-kill" || kind === "server-freeze" || kind === "network";
}
