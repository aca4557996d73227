import { accessSync, constants, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { fullJitterMs } from "../../../base/backoff.ts";
import { AppError, errnoOf, messageOf } from "../../../base/errors.ts";
import type { EngineVersion } from "../engine-api/engine-client.ts";
import { toAwayError } from "../engine-api/engine-problem.ts";
import type { EngineHooks, EngineStatus, SessionEngine } from "../workload-runtime.ts";
import { awayLoudness, isLouder, type Loudness } from "./away-loudness.ts";
import type { ContainerEngine, RemovalRules } from "./container-engine.ts";
import type { ContainerEngineDeps, ContainerEngineOptions } from "./container-engine-options.ts";

const TITLES = { docker: "Docker Engine", podman: "Podman" } as const;
const CONNECT_LIMIT_MS = 5000;
const RETRY = { baseMs: 500, maxMs: 5000 } as const;
/** Whoever is not there is looked for by its socket, which costs nothing. */
const ABSENT_MS = 2000;
/** Between two looks for what discarded sessions may have left. */
const TIDY_MS = 300_000;
/** An appearance takes its adoption and its tidying. */
const LAP_LIMIT_MS = 120_000;

/** Docker or Podman as an engine of sessions. A box without a socket that it may use loads and holds nothing of it. */
export function openContainerEngine(
  options: Omit<ContainerEngineOptions, "title">,
  deps: ContainerEngineDeps,
): SessionEngine {
  const { clock, log } = deps;
  const whole = { ...options, stateDir: realPath(options.stateDir), title: TITLES[options.engine] };
  const place = `${whole.title} at ${whole.socketPath}`;
  let status: EngineStatus = { isReady: false, reason: `${place}: not asked yet` };
  let version: EngineVersion | undefined;
  let loading: Promise<ContainerEngine> | undefined;
  let hooks: EngineHooks | undefined;
  let isAbsent = false;
  /** The last trouble, and how loudly it was told. */
  let told: { readonly reason: string; readonly loudness: Loudness } | undefined;

  const load = async (): Promise<ContainerEngine> => {
    if (loading === undefined) requireSocket();
    loading ??= import("./container-engine.ts").then(({ createContainerEngine }) => createContainerEngine(whole, deps));
    return loading;
  };
  const removal: RemovalRules = {
    isKept: (workloadId) => hooks === undefined || hooks.isKept(workloadId),
    volumeRules: (workloadId) => hooks?.volumeRules(workloadId) ?? new Map(),
  };
  const requireSocket = () => {
    try {
      // Who may not write to a socket may not connect to it.
      accessSync(whole.socketPath, constants.W_OK);
      isAbsent = false;
    } catch (thrown) {
      isAbsent = errnoOf(thrown) === "ENOENT";
      throw isAbsent ? new AppError("unavailable", `${place}: nothing listens there`) : toAwayError(thrown, whole);
    }
  };
  const become = (next: EngineStatus) => {
    const isNews = next.isReady !== status.isReady || next.reason !== status.reason;
    status = next;
    if (isNews) hooks?.onChange();
    return isNews;
  };
  const appeared = (next: EngineVersion) => {
    if (become({ isReady: true, version: next.version })) log.info(`${place}: ready (${next.version})`);
    told = undefined;
  };
  /** Told once, and once more if it matters more than it did: a session may come to wait for it later. */
  const beAway = (reason: string) => {
    become({ isReady: false, reason });
    const isKnown = told?.reason === reason;
    if (isKnown && told?.loudness === "warn") return;
    const isAwaited = hooks?.isAwaited() ?? false;
    const loudness = awayLoudness({ isAbsent, wasReady: version !== undefined, isNamed: options.isNamed, isAwaited });
    if (isKnown && !isLouder(loudness, told?.loudness ?? "silent")) return;
    told = { reason, loudness };
    if (loudness !== "silent") log[loudness](reason);
  };

  /** From one appearance to the next loss. Rejects with what was lost. */
  const attend = async (engine: ContainerEngine, onReady: () => void, signal: AbortSignal): Promise<void> => {
    const found = await engine.client.version(CONNECT_LIMIT_MS, signal);
    version = found;
    await hooks?.onAppeared();
    onReady();
    appeared(found);
    const tidying = (async () => {
      for (;;) {
        await engine.tidy(removal).catch((thrown: unknown) => log.warn(`Could not tidy up: ${messageOf(thrown)}`));
        await clock.delay(TIDY_MS, signal);
      }
    })();
    tidying.catch(() => undefined);
    await engine.follow(signal);
  };

  return {
    name: options.engine,
    status: () => status,
    start: async (mark, launch) => {
      if (version === undefined) throw new AppError("unavailable", status.reason ?? `${place}: not asked yet`);
      return (await load()).start(mark, launch, version);
    },
    sweep: async () => (await load()).sweep(),
    discard: async (workloadId) => {
      try {
        await (await load()).discard(workloadId, removal);
      } catch (thrown) {
        log.warn(`What ${workloadId} left is removed later: ${messageOf(thrown)}`);
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
          const engine = await load();
          const onReady = () => {
            attempt = 0;
            // From here on it waits for the engine's words.
            deps.progress.rest();
          };
          await attend(engine, onReady, stop);
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

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}
