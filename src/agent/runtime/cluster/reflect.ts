import type { Clock } from "../../../base/clock.ts";
import type { ClusterKind, ClusterObject } from "../cluster-api/cluster-answers.ts";
import type { ClusterClient, Labels } from "../cluster-api/cluster-client.ts";

export type Reflected<Kind extends ClusterKind> =
  | { readonly type: "all"; readonly items: readonly ClusterObject<Kind>[] }
  | { readonly type: "changed" | "deleted"; readonly object: ClusterObject<Kind> };

export interface ReflectDeps {
  readonly client: Pick<ClusterClient, "list" | "watch">;
  readonly clock: Clock;
  readonly labels: Labels;
  readonly signal: AbortSignal;
}

/** The server ends each watch after this; one that it forgets is ended here a little later. */
const WATCH_SECONDS = 240;
const FORGOTTEN_MS = (WATCH_SECONDS + 30) * 1000;
/** Between two watches. */
const AGAIN_MS = 500;

/**
 * Tells all objects of a kind, and then each change, for as long as the API server can be asked. A watch that breaks goes on from where
 * it was; where the server holds nothing so old any more, all is told anew. Rejects when it cannot be asked, and when the signal aborts.
 */
export async function reflect<Kind extends ClusterKind>(
  kind: Kind,
  { client, clock, labels, signal }: ReflectDeps,
  tell: (change: Reflected<Kind>) => void,
): Promise<never> {
  let version: string | undefined;
  for (;;) {
    signal.throwIfAborted();
    if (version === undefined) {
      const list = await client.list(kind, labels);
      version = list.version;
      tell({ type: "all", items: list.items });
    }
    const forgotten = new AbortController();
    const timer = clock.timer(FORGOTTEN_MS, () => forgotten.abort());
    try {
      const stop = AbortSignal.any([signal, forgotten.signal]);
      const events = await client.watch(kind, { labels, version, seconds: WATCH_SECONDS, signal: stop });
      version = await follow(events, version, tell);
    } finally {
      timer.clear();
    }
    await clock.delay(AGAIN_MS, signal);
  }

  /** Until it ends, however. Resolves with the version from which the next one goes on; undefined: there is none. */
  async function follow(
    events: Awaited<ReturnType<ClusterClient["watch"]>> & AsyncIterable<unknown>,
    from: string | undefined,
    told: (change: Reflected<Kind>) => void,
  ): Promise<string | undefined> {
    let reached = from;
    try {
      for await (const event of events as Awaited<ReturnType<typeof client.watch<Kind>>>) {
        if (event.type === "expired") return undefined;
        reached = event.version;
        if (event.type !== "bookmark") told(event);
      }
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      // Where only this connection has broken, the next one is had at once; else opening it tells what is wrong.
    }
    return reached;
  }
}
