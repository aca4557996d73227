import type { Clock } from "../../../base/clock.ts";
import { messageOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import { parseDurationMs } from "../../../contract/duration-text.ts";
import type { DeclaredPort } from "../../../contract/remote/operation.ts";
import type { Occurrence } from "../../../contract/report.ts";
import type { SessionPlatformName, SessionPort, SessionRunSpec } from "../../../contract/session-spec.ts";
import type { SessionDepth, SessionEndpoint, SessionPlace, SessionStatus } from "../../../contract/session-status.ts";
import type { SessionWorkload } from "../../../contract/workload.ts";
import type { Rest } from "../../reconcile/rest.ts";
import type { SessionFile, SessionMemory } from "../../registry/session-file.ts";
import type { RunEndpoint, SessionRun } from "../../runtime/run-handle.ts";
import type { OwnHealth } from "../driver.ts";
import { specHash } from "../spec-hash.ts";
import { findPlace } from "./find-place.ts";
import { type Activity, hibernatesAtMs, mustKeepUse, observeActivity, recallUse } from "./session-idle.ts";
import { createRunWatch, type RunWatch, type RunWatchDeps } from "./session-run-watch.ts";
import { decideWish, endedUnseen, endOf, type SessionWish } from "./session-wish.ts";
import { tellSession } from "./tell-session.ts";

/** Of the reconciler, what concerns one session. */
export interface SessionUnit {
  readonly run: SessionRun | undefined;
  /** Nothing of it runs, begins or ends. */
  readonly isIdle: boolean;
}

export interface SessionTenderDeps extends RunWatchDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly file: SessionFile;
  readonly graceMs: number;
  /** Undefined: it is expected no more, or refused. */
  readonly workload: () => SessionWorkload | undefined;
  readonly unit: () => SessionUnit;
  readonly platformOf: (workload: SessionWorkload) => SessionPlatformName | undefined;
  readonly tellEndpoints: (ports: readonly SessionPort[], placed: readonly RunEndpoint[]) => readonly SessionEndpoint[];
  /** A lap is due: what is to become of it has changed. */
  readonly wake: () => void;
  /** It works: whoever shows its state need not wait for the next look at its health. */
  readonly onReady: (id: string) => void;
  readonly onChange: () => void;
  readonly onOccurrence: (occurrence: Omit<Occurrence, "at">) => void;
}

/** Looks after one session: puts it to sleep and wakes it, and knows whether it works, is used, and when it has had its time. */
export interface SessionTender {
  run(signal: AbortSignal): Promise<void>;
  poke(): void;
  rests(workload: SessionWorkload): Rest | undefined;
  health(): OwnHealth;
  /** It is not to run, or stands still: nothing is wrong with it. */
  isAtRest(): boolean;
  status(workload: SessionWorkload): SessionStatus;
  /** Ports of the box that its run has. */
  hostPorts(): readonly number[];
  usage(): { readonly cpuPercent: number; readonly rssBytes: number } | undefined;
  /** Its process is about to be launched; resolves when that is on disk. */
  launching(workload: SessionWorkload): Promise<void>;
  /** It has done what it was to do. */
  finished(reason: string): void;
  /** It is used: false while it sleeps. */
  touch(): boolean;
  /** As `findPlace`. */
  place(port: DeclaredPort): Promise<SessionPlace>;
}

/** Between two looks: at one that is used or may fall asleep, at one that nothing is expected of, at one that is on its way. */
const PERIOD_MS = { watching: 2000, calm: 10_000, hurried: 50, patient: 1000 } as const;
/** On its way for this long, it is looked at less often. */
const HURRY_MS = 10_000;
/** Before the end of its time. */
const WARNING_MS = 300_000;

export function createSessionTender(id: string, deps: SessionTenderDeps): SessionTender {
  const { clock, log, file } = deps;
  const watch: RunWatch = createRunWatch(deps);
  let activity: Activity = { atMs: clock.monotonicMs(), source: "start" };
  /** It was found running, and when it was used is known from the agent before. */
  let isRecalled = false;
  let awakeSinceMs = clock.monotonicMs();
  let waking: { readonly from: SessionDepth; readonly sinceMs: number } | undefined;
  let changingSinceMs = clock.monotonicMs();
  let hibernations = 0;
  let wakes = 0;
  let hasWarned = false;
  let hasLookedBack = false;
  let lastState: SessionWish["state"] | undefined;
  let trouble: string | undefined;
  let isPoked = false;
  let nudge = () => {};

  const wishOf = ({ power, spec }: SessionWorkload, memory = file.memory()): SessionWish =>
    decideWish(power, wholeHash(spec), memory);

  const remember = (change: Partial<SessionMemory>, dropped: readonly (keyof SessionMemory)[] = []) => {
    const next = { ...file.memory(), ...change };
    for (const key of dropped) delete next[key];
    file.remember(next);
  };

  /** Another wish or another spec than the one it ended with: it begins again, and so does its time. */
  const beginAgain = (workload: SessionWorkload) => {
    const { ended } = file.memory();
    if (ended !== undefined && wishOf(workload).state !== "ended") remember({}, ["ended", "firstStartMs", "launched"]);
  };

  const end = (workload: SessionWorkload, reason: string) => {
    const { turn } = wishOf(workload);
    const ended = { atMs: clock.wallMs(), reason, specHash: wholeHash(workload.spec), turn };
    remember({ ended, turn }, ["sleep", "launched"]);
    log.info(`Session ${id} has ended: ${reason}`);
    deps.onOccurrence({ kind: "ended", workloadId: id, text: reason });
    deps.onChange();
    deps.wake();
  };

  /** Once, before anything is started: what became of it while no agent looked. */
  const lookBack = (workload: SessionWorkload) => {
    if (hasLookedBack) return;
    hasLookedBack = true;
    const { launched, platform } = file.memory();
    // An engine tells how it ended, and may be away.
    if (platform !== "process" || deps.unit().run !== undefined) return;
    const { state, turn } = wishOf(workload);
    const isOver = endedUnseen(workload.spec.restart, wholeHash(workload.spec), { turn, launched });
    if (isOver && state === "awake") end(workload, "it ended while no agent looked");
  };

  const freezes = ({ spec }: SessionWorkload, { run }: SessionUnit): boolean =>
    spec.hibernation === "frozen" && run?.canFreeze === true;

  const asleep = async (
    workload: SessionWorkload,
    wish: Extract<SessionWish, { state: "asleep" }>,
  ): Promise<number> => {
    const unit = deps.unit();
    waking = undefined;
    if (unit.run !== undefined && !freezes(workload, unit)) {
      deps.wake();
      return PERIOD_MS.patient;
    }
    if (unit.run === undefined && !unit.isIdle) return pace();
    if (unit.run !== undefined) await watch.freeze();
    const platform = deps.platformOf(workload);
    const depth = unit.run !== undefined ? "frozen" : platform === "kubernetes" ? "scaled-to-zero" : "stopped";
    const { sleep, turn } = file.memory();
    if (sleep?.depth !== depth || sleep.because !== wish.because || turn !== wish.turn) {
      const isNew = sleep?.depth !== depth;
      const sinceMs = sleep?.sinceMs ?? clock.wallMs();
      remember({ sleep: { because: wish.because, turn: wish.turn, sinceMs, depth }, turn: wish.turn }, ["launched"]);
      if (isNew) {
        hibernations += 1;
        const text = `${depth}, ${wish.because === "idle" ? "because nothing used it" : "as it was asked to"}`;
        log.info(`Session ${id} sleeps: ${text}`);
        deps.onOccurrence({ kind: "hibernated", workloadId: id, text });
      }
      deps.onChange();
    }
    await watch.readUsage(PERIOD_MS.calm);
    return PERIOD_MS.calm;
  };

  const awake = async (workload: SessionWorkload, wish: SessionWish): Promise<number> => {
    const { sleep } = file.memory();
    if (sleep !== undefined) {
      waking = { from: sleep.depth ?? "stopped", sinceMs: clock.monotonicMs() };
      changingSinceMs = waking.sinceMs;
      remember({}, ["sleep"]);
      deps.wake();
    }
    const unit = deps.unit();
    if (unit.run === undefined) {
      // A launch that is over, whatever became of it, is none any more.
      if (unit.isIdle && file.memory().launched !== undefined) remember({}, ["launched"]);
      return pace();
    }
    await watch.thaw();
    await watch.limit(workload.resources);
    const wasReady = watch.isReady();
    await watch.probe();
    if (!watch.isReady()) return pace();
    if (!wasReady || waking !== undefined) becameReady(wish);
    await watch.readUsage(workload.spec.activity?.cpuPercent === undefined ? PERIOD_MS.calm : PERIOD_MS.watching);
    return watchIdle(workload, wish);
  };

  const becameReady = ({ turn }: SessionWish) => {
    const nowMs = clock.monotonicMs();
    if (!isRecalled || waking !== undefined)
      activity = { atMs: nowMs, source: waking === undefined ? "start" : "wake" };
    isRecalled = false;
    awakeSinceMs = nowMs;
    if (waking !== undefined) {
      const tookMs = Math.round(nowMs - waking.sinceMs);
      wakes += 1;
      log.info(`Session ${id} is awake after ${tookMs} ms (it was ${waking.from})`);
      deps.onOccurrence({ kind: "woken", workloadId: id, text: `awake after ${tookMs} ms (it was ${waking.from})` });
      remember({ wakeMs: { ...file.memory().wakeMs, [waking.from]: tookMs } });
    }
    waking = undefined;
    if (file.memory().turn !== turn) remember({ turn });
    deps.onReady(id);
    deps.onChange();
  };

  const watchIdle = async ({ spec }: SessionWorkload, { turn }: SessionWish): Promise<number> => {
    const openConnections = watch.countConnections();
    const hasDatagrams = watch.countDatagrams();
    const nowMs = clock.monotonicMs();
    const cpuPercent = watch.cpuPercent();
    activity = observeActivity(activity, spec, { nowMs, openConnections, hasDatagrams, cpuPercent });
    const idleTimeoutMs = parseDurationMs(spec.idleTimeout ?? "");
    if (idleTimeoutMs === undefined) return PERIOD_MS.calm;
    const used = { atMs: clock.wallMs() + activity.atMs - nowMs, source: activity.source };
    if (mustKeepUse(used, file.memory().used, idleTimeoutMs)) remember({ used });
    const leftMs = hibernatesAtMs(activity, { idleTimeoutMs, graceMs: deps.graceMs, awakeSinceMs }) - nowMs;
    if (leftMs > 0) return Math.min(PERIOD_MS.watching, leftMs);
    remember({ sleep: { because: "idle", turn, sinceMs: clock.wallMs() } });
    // A wish that is told again after a crash must find that it sleeps.
    await file.commit();
    deps.wake();
    return 0;
  };

  /** Soon, while a person may wait for it. */
  const pace = (): number => (clock.monotonicMs() - changingSinceMs < HURRY_MS ? PERIOD_MS.hurried : PERIOD_MS.patient);

  /** Milliseconds until its time is over; undefined: it has no end. */
  const watchTime = (workload: SessionWorkload): number | undefined => {
    const { maxDuration } = workload.spec;
    const endsAtMs = endOf(file.memory().firstStartMs, parseDurationMs(maxDuration ?? ""));
    if (endsAtMs === undefined) return undefined;
    const leftMs = endsAtMs - clock.wallMs();
    if (leftMs <= 0) end(workload, `it has had its time: maxDuration is ${maxDuration}`);
    else if (leftMs > WARNING_MS) hasWarned = false;
    else if (!hasWarned) {
      hasWarned = true;
      const text = `its time ends at ${toIso(endsAtMs)}, in ${Math.ceil(leftMs / 1000)} s`;
      log.warn(`Session ${id}: ${text}`);
      deps.onOccurrence({ kind: "lifetime", workloadId: id, text });
    }
    return Math.max(leftMs, 0);
  };

  /** Another run than before. What an agent finds running is no more used for being found. */
  const begin = ({ spec }: SessionWorkload, run: SessionRun | undefined) => {
    const nowMs = clock.monotonicMs();
    awakeSinceMs = nowMs;
    changingSinceMs = nowMs;
    const { used } = file.memory();
    const idleTimeoutMs = parseDurationMs(spec.idleTimeout ?? "");
    isRecalled = run?.isAdopted === true && used !== undefined && idleTimeoutMs !== undefined;
    activity =
      isRecalled && used !== undefined && idleTimeoutMs !== undefined
        ? recallUse(used, { idleTimeoutMs, nowMs, nowWallMs: clock.wallMs() })
        : { atMs: nowMs, source: "start" };
  };

  const look = async (workload: SessionWorkload): Promise<number> => {
    beginAgain(workload);
    const unit = deps.unit();
    if (await watch.follow(unit.run)) {
      begin(workload, unit.run);
      deps.onChange();
    }
    if (wishOf(workload).state !== "ended") {
      const leftMs = watchTime(workload);
      const wish = wishOf(workload);
      if (wish.state === "ended") return 0;
      if (wish.state !== lastState) changingSinceMs = clock.monotonicMs();
      lastState = wish.state;
      const waitMs = await (wish.state === "asleep" ? asleep(workload, wish) : awake(workload, wish));
      return leftMs === undefined ? waitMs : Math.min(waitMs, leftMs + 1);
    }
    if (unit.run !== undefined) deps.wake();
    return PERIOD_MS.patient;
  };

  const lap = async (): Promise<number> => {
    const workload = deps.workload();
    if (workload === undefined) return PERIOD_MS.calm;
    try {
      const waitMs = await look(workload);
      trouble = undefined;
      return waitMs;
    } catch (thrown) {
      // Its platform is away, or what ran has just ended: the next look finds out.
      const text = messageOf(thrown);
      if (text !== trouble) log.warn(`Session ${id}: ${text}`);
      trouble = text;
      return PERIOD_MS.patient;
    }
  };

  return {
    poke: () => {
      isPoked = true;
      nudge();
    },
    run: async (signal) => {
      while (!signal.aborted) {
        isPoked = false;
        const waitMs = await lap();
        if (isPoked || signal.aborted) continue;
        const woken = new AbortController();
        nudge = () => woken.abort();
        await clock.delay(waitMs, AbortSignal.any([signal, woken.signal])).catch(() => undefined);
        nudge = () => {};
      }
    },
    rests: (workload) => {
      lookBack(workload);
      const wish = wishOf(workload);
      if (wish.state === "awake") return undefined;
      if (wish.state === "ended") return "ended";
      return freezes(workload, deps.unit()) ? undefined : "hibernated";
    },
    health: () => ({ isWorking: watch.isReady(), finding: watch.finding() }),
    isAtRest: () => {
      const workload = deps.workload();
      return watch.isFrozen() || (workload !== undefined && wishOf(workload).state !== "awake");
    },
    hostPorts: () => watch.hostPorts(),
    usage: () => watch.usage(),
    launching: async (workload) => {
      beginAgain(workload);
      const { firstStartMs = clock.wallMs() } = file.memory();
      const platform = deps.platformOf(workload);
      remember({
        ...(platform === undefined ? {} : { platform }),
        launched: { specHash: wholeHash(workload.spec), turn: wishOf(workload).turn },
        firstStartMs,
      });
      await file.commit();
    },
    finished: (reason) => {
      const workload = deps.workload();
      if (workload !== undefined) end(workload, reason);
    },
    touch: () => {
      const workload = deps.workload();
      if (workload === undefined || wishOf(workload).state !== "awake") return false;
      activity = { atMs: clock.monotonicMs(), source: "call" };
      nudge();
      return true;
    },
    place: async (port) => {
      const workload = deps.workload();
      const { run } = deps.unit();
      const wish = workload === undefined ? "ended" : wishOf(workload).state;
      return findPlace(id, port, { workload, wish, run, isReady: run !== undefined && watch.isReady(run) });
    },
    status: (workload) => {
      const { spec } = workload;
      const idleTimeoutMs = parseDurationMs(spec.idleTimeout ?? "");
      return tellSession(workload, {
        memory: file.memory(),
        wish: wishOf(workload),
        platform: deps.platformOf(workload),
        instance: watch.instance(),
        isReady: watch.isReady(),
        endpoints: deps.tellEndpoints(spec.template.ports ?? [], watch.endpoints()),
        openConnections: watch.openConnections(),
        memoryBytes: watch.usage()?.rssBytes,
        activity,
        hibernatesAtMs:
          idleTimeoutMs === undefined
            ? undefined
            : hibernatesAtMs(activity, { idleTimeoutMs, graceMs: deps.graceMs, awakeSinceMs }),
        hibernations,
        wakes,
        nowMs: clock.monotonicMs(),
        nowWallMs: clock.wallMs(),
      });
    },
  };
}

/** Of all that was asked for. What a running program need not be restarted for is part of it. */
function wholeHash(spec: SessionRunSpec): string {
  return specHash(spec);
}

function toIso(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
