import { fullJitterMs } from "../../base/backoff.ts";
import type { Clock } from "../../base/clock.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { LoopProgress } from "../../base/progress-watch.ts";
import type { Random } from "../../base/random.ts";
import { awayLoudness, isLouder, type Loudness } from "./away-loudness.ts";
import type { ProcessMark, SessionRun } from "./run-handle.ts";
import type {
  EngineHooks,
  EngineLaunch,
  EngineName,
  EngineStatus,
  FoundRun,
  RemovalRules,
  SessionEngine,
} from "./workload-runtime.ts";

/** A platform that is there: what it runs of this box's, and what is done to that. */
export interface PlatformLink {
  /** Asks it who it is: `20.10.24`. */
  version(limitMs: number, signal: AbortSignal): Promise<string>;
  start(mark: ProcessMark, launch: EngineLaunch): Promise<SessionRun>;
  sweep(): Promise<readonly FoundRun[]>;
  /** Removes what this session has left, unless it is wanted again by then. */
  discard(workloadId: string, rules: RemovalRules): Promise<void>;
  /** The same for all that were discarded while nobody could be asked. */
  tidy(rules: RemovalRules): Promise<void>;
  /** Learns what happens there until the connection ends, or `signal`. `onNews`: something may be told differently. */
  follow(signal: AbortSignal, onNews: () => void): Promise<void>;
}

export interface AttendedPlatform {
  readonly name: EngineName;
  /** `Docker Engine at /var/run/docker.sock`. */
  readonly place: string;
  /** Somebody set it, or its place, in the configuration. */
  readonly isNamed: boolean;
  /** Why it cannot be asked, found without asking it: nothing of it is loaded then. `isAbsent`: there is nothing at its place. */
  absence(): { readonly reason: string; readonly isAbsent: boolean } | undefined;
  /** Once. */
  load(): Promise<PlatformLink>;
}

export interface AttendedEngineDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly progress: LoopProgress;
}

const CONNECT_LIMIT_MS = 5000;
const RETRY = { baseMs: 500, maxMs: 5000 } as const;
/** Whoever is not there is looked for by its files, which costs nothing. */
const ABSENT_MS = 2000;
/** Between two looks for what discarded sessions may have left. */
const TIDY_MS = 300_000;
/** An appearance takes its adoption and its tidying. */
const LAP_LIMIT_MS = 120_000;

/** A platform as an engine of sessions, whether or not it is there. */
export function createAttendedEngine(platform: AttendedPlatform, deps: AttendedEngineDeps): SessionEngine {
  const { clock, log } = deps;
  const { place } = platform;
  let status: EngineStatus = { isReady: false, reason: `${place}: not asked yet` };
  let hasAnswered = false;
  let loading: Promise<PlatformLink> | undefined;
  let hooks: EngineHooks | undefined;
  let isAbsent = false;
  /** The last trouble, and how loudly it was told. */
  let told: { readonly reason: string; readonly loudness: Loudness } | undefined;

  const load = async (): Promise<PlatformLink> => {
    const absence = loading === undefined ? platform.absence() : undefined;
    isAbsent = absence?.isAbsent === true;
    if (absence !== undefined) throw new AppError("unavailable", absence.reason);
    loading ??= platform.load();
    return loading;
  };
  const rules: RemovalRules = {
    isKept: (workloadId) => hooks === undefined || hooks.isKept(workloadId),
    volumeRules: (workloadId) => hooks?.volumeRules(workloadId) ?? new Map(),
  };
  const become = (next: EngineStatus) => {
    const isNews = next.isReady !== status.isReady || next.reason !== status.reason;
    status = next;
    if (isNews) hooks?.onChange();
    return isNews;
  };
  const appeared = (version: string) => {
    if (become({ isReady: true, version })) log.info(`${place}: ready (${version})`);
    told = undefined;
  };
  /** Told once, and once more if it matters more than it did: a session may come to wait for it later. */
  const beAway = (reason: string) => {
    become({ isReady: false, reason });
    const isKnown = told?.reason === reason;
    if (isKnown && told?.loudness === "warn") return;
    const isAwaited = hooks?.isAwaited() ?? false;
    const loudness = awayLoudness({ isAbsent, wasReady: hasAnswered, isNamed: platform.isNamed, isAwaited });
    if (isKnown && !isLouder(loudness, told?.loudness ?? "silent")) return;
    told = { reason, loudness };
    if (loudness !== "silent") log[loudness](reason);
  };

  /** From one appearance to the next loss. Rejects with what was lost. */
  const attend = async (link: PlatformLink, onReady: () => void, signal: AbortSignal): Promise<void> => {
    const version = await link.version(CONNECT_LIMIT_MS, signal);
    hasAnswered = true;
    await hooks?.onAppeared();
    onReady();
    appeared(version);
    const tidying = (async () => {
      for (;;) {
        await link.tidy(rules).catch((thrown: unknown) => log.warn(`Could not tidy up: ${messageOf(thrown)}`));
        await clock.delay(TIDY_MS, signal);
      }
    })();
    tidying.catch(() => undefined);
    await link.follow(signal, () => hooks?.onChange());
  };

  return {
    name: platform.name,
    status: () => status,
    start: async (mark, launch) => {
      if (!hasAnswered) throw new AppError("unavailable", status.reason ?? `${place}: not asked yet`);
      return (await load()).start(mark, launch);
    },
    sweep: async () => (await load()).sweep(),
    discard: async (workloadId) => {
      try {
        await (await load()).discard(workloadId, rules);
      } catch (thrown) {
        // One that never was there since this agent began has most likely nothing of it.
        log[hasAnswered ? "warn" : "debug"](`What ${workloadId} left is removed later: ${messageOf(thrown)}`);
      }
    },
    run: async (signal, given) => {
      hooks = given;
      let attempt = 0;
      while (!signal.aborted) {
        deps.progress.advance(LAP_LIMIT_MS);
        const lap = new AbortController();
        const stop = AbortSignal.any([signal, lap.signal]);
        try {
          const link = await load();
          const onReady = () => {
            attempt = 0;
            // From here on it waits for the platform's words.
            deps.progress.rest();
          };
          await attend(link, onReady, stop);
        } catch (thrown) {
          if (signal.aborted) break;
          beAway(messageOf(thrown));
        } finally {
          lap.abort();
        }
        deps.progress.advance(LAP_LIMIT_MS);
        const napMs = loading === undefined ? ABSENT_MS : fullJitterMs(attempt, RETRY, deps.random);
        attempt += 1;
        await clock.delay(napMs, signal).catch(() => undefined);
      }
      deps.progress.rest();
    },
  };
}
