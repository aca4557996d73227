import { type BackoffOptions, fullJitterMs } from "../../base/backoff.ts";
import type { Clock } from "../../base/clock.ts";
import type { Random } from "../../base/random.ts";
import type { RemoteSession } from "../../remote/remote-session.ts";
import { failureOf, type RemoteFailure } from "./remote-failure.ts";
import type { RemoteLink } from "./remote-link.ts";

/** A session for as long as the forward lives: when one is lost for good, another takes its place. */
export interface ForwardKeeper {
  /** The session to open channels in; waits while there is none. Rejects when the forward ends or one cannot be had. */
  session(): Promise<RemoteSession>;
  readonly id: string | undefined;
  /** Of the session in use, or of the last one. */
  readonly box: string;
  /** Leaves the session in use, if it is on that box, for another that is opened at once. */
  leave(box: string, why: string): void;
  /** Rejects with `RemoteFailure` when no further session can be had; resolves when the signal aborts. */
  run(): Promise<void>;
}

export interface ForwardKeeperDeps {
  readonly open: (signal: AbortSignal) => Promise<RemoteLink>;
  readonly clock: Clock;
  readonly random: Random;
  readonly tell: (line: string) => void;
}

const BACKOFF: BackoffOptions = { baseMs: 1000, maxMs: 15_000 };
/** What no further attempt mends. */
const FINAL: ReadonlySet<RemoteFailure["kind"]> = new Set(["denied", "usage"]);

/** `first` is open already. */
export function createForwardKeeper(
  first: RemoteLink,
  { open, clock, random, tell }: ForwardKeeperDeps,
  signal: AbortSignal,
): ForwardKeeper {
  let link: RemoteLink | undefined = first;
  let next = Promise.withResolvers<RemoteSession>();
  next.promise.catch(() => undefined);
  let isWanted = Promise.withResolvers<void>();
  let { box } = first;
  let left: string | undefined;

  const reopen = async (why: string): Promise<RemoteLink | undefined> => {
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        return await open(signal);
      } catch (thrown) {
        if (signal.aborted) return undefined;
        const failure = failureOf(thrown);
        if (FINAL.has(failure.kind)) throw failure;
        if (attempt === 0) tell(`no new session yet (${failure.message}), trying again; the one before ended: ${why}`);
        await clock.delay(fullJitterMs(attempt, BACKOFF, random), signal).catch(() => undefined);
      }
    }
    return undefined;
  };

  return {
    get id() {
      return link?.id;
    },
    get box() {
      return box;
    },
    leave: (from, why) => {
      if (link === undefined || link.box !== from || left !== undefined) return;
      left = why;
      void link.close();
    },
    session: () => {
      if (link !== undefined) return Promise.resolve(link.session);
      isWanted.resolve();
      return next.promise;
    },
    async run() {
      const stop = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      try {
        while (!signal.aborted && link !== undefined) {
          const ended: RemoteFailure | undefined = await Promise.race([link.over, stop.then(() => undefined)]);
          if (signal.aborted) break;
          const why = left ?? ended?.message ?? "the box closed it";
          if (left === undefined && ended !== undefined && FINAL.has(ended.kind)) throw ended;
          link = undefined;
          next = Promise.withResolvers();
          next.promise.catch(() => undefined);
          isWanted = Promise.withResolvers();
          // What idled away is wanted again with the next connection, and not before.
          if (left === undefined && ended?.code === "timeout") {
            tell(`the session ended: ${why}; the next connection opens another`);
            await Promise.race([isWanted.promise, stop]);
          } else {
            tell(`the session ended: ${why}; opening another`);
          }
          link = await reopen(why);
          if (link === undefined) break;
          ({ box } = link);
          left = undefined;
          tell(`connected to ${link.box} with a new session`);
          next.resolve(link.session);
        }
      } catch (thrown) {
        const failure = failureOf(thrown);
        next.reject(failure);
        throw failure;
      } finally {
        await link?.close();
      }
    },
  };
}
