import { AppError } from "../../../base/errors.ts";
import type { LoopProgress } from "../../../base/progress-watch.ts";
import type { Service } from "../../../base/service.ts";
import type { DeclaredPort } from "../../../contract/remote/operation.ts";
import type { SessionPlatformName, SessionRunSpec } from "../../../contract/session-spec.ts";
import type { SessionFacts, SessionPlace, SessionStatus } from "../../../contract/session-status.ts";
import type { SessionWorkload, Workload } from "../../../contract/workload.ts";
import type { Rest } from "../../reconcile/rest.ts";
import type { SessionFile } from "../../registry/session-file.ts";
import type { EngineStatus } from "../../runtime/workload-runtime.ts";
import type { Awaiting, OwnHealth, Refusal } from "../driver.ts";
import { choosePlatform, type PlatformChoice } from "./choose-platform.ts";
import { readSessionFacts } from "./session-facts.ts";
import { createSessionTender, type SessionTender, type SessionTenderDeps, type SessionUnit } from "./session-tender.ts";

export interface SessionKeeperOptions {
  /** The first that suits a session first. */
  readonly platforms: readonly SessionPlatformName[];
  readonly max: number;
  readonly idleGraceMs: number;
}

export interface SessionKeeperDeps
  extends Omit<SessionTenderDeps, "file" | "graceMs" | "workload" | "unit" | "platformOf"> {
  readonly progress: LoopProgress;
  /** Everything that should run on this box. */
  readonly expected: () => ReadonlyMap<string, Workload>;
  readonly isRefused: (id: string) => boolean;
  readonly unitOf: (id: string) => SessionUnit;
  readonly openFile: (id: string) => SessionFile;
  /** Whether a platform can be asked at the moment. */
  readonly platformStatus: (platform: SessionPlatformName) => EngineStatus;
  /** Nothing of it is expected any more: what it left on disk goes, unless something of it does still end. */
  readonly discard: (id: string) => void;
}

/** Looks after every session of this box. */
export interface SessionKeeper extends Service {
  facts(): SessionFacts;
  /** Ports of the box that other sessions than this one have. */
  hostPorts(exceptId: string): readonly number[];
  statusOf(id: string): SessionStatus | undefined;
  usageOf(id: string): ReturnType<SessionTender["usage"]>;
  healthOf(id: string): OwnHealth;
  /** It sleeps or has ended, or is about to: nothing is wrong with it, and it takes nothing. */
  isAtRest(id: string): boolean;
  rests(workload: Workload): Rest | undefined;
  /** Its platform is away: that is no failure. */
  awaits(workload: Workload): Awaiting | undefined;
  /** A session that is to run waits for it. */
  isAwaited(platform: SessionPlatformName): boolean;
  choose(id: string, spec: SessionRunSpec): PlatformChoice;
  /** More sessions are expected than this box takes. */
  refuseCount(id: string): Refusal | undefined;
  launching(workload: SessionWorkload): Promise<void>;
  finished(id: string, reason: string): void;
  /** It is used. False: it sleeps, or is none. */
  touch(id: string): boolean;
  /** As `findPlace`. */
  place(id: string, port: DeclaredPort): Promise<SessionPlace>;
  /** Something may have changed: what is expected, or what runs. */
  poke(): void;
}

interface Tended {
  readonly tender: SessionTender;
  readonly file: SessionFile;
  readonly stop: AbortController;
  done: Promise<void> | undefined;
}

const PERIOD_MS = 5000;
const NOT_WORKING: OwnHealth = { isWorking: false, finding: undefined };

const ENGINE_NAMES: Readonly<Record<SessionPlatformName, string>> = {
  docker: "Docker Engine",
  podman: "Podman",
  kubernetes: "Kubernetes",
  process: "plain processes",
};

export function createSessionKeeper(options: SessionKeeperOptions, deps: SessionKeeperDeps): SessionKeeper {
  const { clock } = deps;
  const tended = new Map<string, Tended>();
  /** Let in, and perhaps not started yet. */
  const taken = new Set<string>();
  let isRunning = false;
  let nudge = () => {};

  const sessionOf = (id: string): SessionWorkload | undefined => {
    const workload = deps.expected().get(id);
    return workload?.kind === "session" && !deps.isRefused(id) ? workload : undefined;
  };

  const choose: SessionKeeper["choose"] = (id, spec) =>
    choosePlatform(spec, {
      platforms: options.platforms,
      isReady: (platform) => deps.platformStatus(platform).isReady,
      held: keep(id).file.memory().platform,
    });

  const platformOf = ({ id, spec }: SessionWorkload): SessionPlatformName | undefined => {
    const choice = choose(id, spec);
    return "platform" in choice ? choice.platform : undefined;
  };

  /** Known from the first time that anybody asks: what it remembers must be read before anything is started. */
  const keep = (id: string): Tended => {
    const known = tended.get(id);
    if (known !== undefined) return known;
    const file = deps.openFile(id);
    const tender = createSessionTender(id, {
      ...deps,
      file,
      graceMs: options.idleGraceMs,
      workload: () => sessionOf(id),
      unit: () => deps.unitOf(id),
      platformOf,
    });
    const one: Tended = { tender, file, stop: new AbortController(), done: undefined };
    tended.set(id, one);
    if (isRunning) one.done = tender.run(one.stop.signal);
    return one;
  };

  const release = (id: string, one: Tended) => {
    tended.delete(id);
    taken.delete(id);
    one.stop.abort();
    void Promise.resolve(one.done).then(() => {
      if (!tended.has(id) && deps.expected().get(id)?.kind !== "session") deps.discard(id);
    });
  };

  const lap = () => {
    const expected = deps.expected();
    for (const [id, one] of tended) if (expected.get(id)?.kind !== "session") release(id, one);
    for (const [id, { kind }] of expected) if (kind === "session") keep(id);
  };

  const awaits: SessionKeeper["awaits"] = (workload) => {
    if (workload.kind !== "session") return undefined;
    const platform = platformOf(workload);
    if (platform === undefined || platform === "process") return undefined;
    const { isReady, reason = "it does not answer" } = deps.platformStatus(platform);
    if (isReady) return undefined;
    const what = ENGINE_NAMES[platform];
    // An engine's reason says which and where it is.
    return { what, holder: platform, text: `it waits for ${reason.startsWith(what) ? reason : `${what}: ${reason}`}` };
  };

  const rests: SessionKeeper["rests"] = (workload) =>
    workload.kind === "session" ? keep(workload.id).tender.rests(workload) : undefined;

  return {
    name: "sessions",
    poke: () => {
      nudge();
      for (const { tender } of tended.values()) tender.poke();
    },
    facts: () => readSessionFacts(options, deps.platformStatus),
    hostPorts: (exceptId) => [...tended].flatMap(([id, { tender }]) => (id === exceptId ? [] : tender.hostPorts())),
    statusOf: (id) => {
      const workload = deps.expected().get(id);
      return workload?.kind === "session" ? keep(id).tender.status(workload) : undefined;
    },
    usageOf: (id) => tended.get(id)?.tender.usage(),
    healthOf: (id) => tended.get(id)?.tender.health() ?? NOT_WORKING,
    isAtRest: (id) => tended.get(id)?.tender.isAtRest() ?? false,
    rests,
    awaits,
    isAwaited: (platform) =>
      [...deps.expected().keys()].some((id) => {
        const workload = sessionOf(id);
        if (workload === undefined || rests(workload) !== undefined) return false;
        return awaits(workload)?.holder === platform;
      }),
    choose,
    refuseCount: (id) => {
      const hasPlace = (one: string) => taken.has(one) || keep(one).file.memory().firstStartMs !== undefined;
      if (hasPlace(id)) return undefined;
      const others = [...deps.expected()].filter(
        ([one, { kind }]) => kind === "session" && one !== id && hasPlace(one),
      );
      if (others.length >= options.max) {
        return { rule: "sessions.max", message: `the box has ${others.length} already; allowed: ${options.max}` };
      }
      if (deps.expected().has(id)) taken.add(id);
      return undefined;
    },
    launching: (workload) => keep(workload.id).tender.launching(workload),
    finished: (id, reason) => tended.get(id)?.tender.finished(reason),
    touch: (id) => tended.get(id)?.tender.touch() ?? false,
    place: (id, port) => {
      const known = tended.get(id);
      if (known === undefined) return Promise.reject(new AppError("not-found", `no session ${id} is on this box`));
      return known.tender.place(port);
    },
    run: async (signal) => {
      isRunning = true;
      for (const one of tended.values()) one.done ??= one.tender.run(one.stop.signal);
      while (!signal.aborted) {
        lap();
        deps.progress.advance(PERIOD_MS);
        const woken = new AbortController();
        nudge = () => woken.abort();
        await clock.delay(PERIOD_MS, AbortSignal.any([signal, woken.signal])).catch(() => undefined);
      }
      nudge = () => {};
      isRunning = false;
      const all = [...tended.values()];
      for (const { stop } of all) stop.abort();
      await Promise.all(all.map(({ done }) => done));
      await Promise.all(all.map(({ file }) => file.commit()));
    },
  };
}
