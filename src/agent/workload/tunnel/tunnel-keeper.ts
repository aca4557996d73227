import type { Clock } from "../../../base/clock.ts";
import { messageOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { LoopProgress } from "../../../base/progress-watch.ts";
import type { Service } from "../../../base/service.ts";
import { formatPoint } from "../../../contract/describe-spec.ts";
import type { Occurrence } from "../../../contract/report.ts";
import type { TunnelSpec } from "../../../contract/tunnel-spec.ts";
import type { TunnelEndPhase, TunnelStatus } from "../../../contract/tunnel-status.ts";
import type { TunnelWorkload, Workload } from "../../../contract/workload.ts";
import type { ProcessHandle } from "../../runtime/process/process-runtime.ts";
import type { Awaiting, OwnHealth } from "../driver.ts";
import { DEFAULT_MIN_TLS } from "./stunnel-config.ts";
import { tunnelPhase } from "./tunnel-phase.ts";
import type { TunnelProverDeps } from "./tunnel-prover.ts";
import { createTunnelTender, type TunnelTender, type TunnelUnit } from "./tunnel-tender.ts";

export interface TunnelKeeperOptions {
  readonly stunnelPath: string;
  readonly proofPeriodMs: number;
}

export interface TunnelKeeperDeps extends TunnelProverDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly progress: LoopProgress;
  /** Everything that should run on this box. */
  readonly expected: () => ReadonlyMap<string, Workload>;
  readonly isRefused: (id: string) => boolean;
  readonly unitOf: (workload: TunnelWorkload) => TunnelUnit;
  readonly directoryOf: (id: string) => string;
  /** The last lines of the process's output, read just now. */
  readonly outputOf: (id: string) => readonly string[];
  /** Nothing of it is expected any more: what it left on disk goes, unless a process of it does still end. */
  readonly discard: (id: string) => void;
  /** A lap is due: something that others wait for may have come, or its time is over. */
  readonly wake: () => void;
  /** This box's end has become `up`: who waits for it may start. */
  readonly onUp: (uid: string) => void;
  /** What kept this end from being started is gone. */
  readonly onPrepared: (id: string) => void;
  readonly onStarted: (workload: TunnelWorkload, handle: ProcessHandle) => void;
  readonly onChange: () => void;
  readonly onOccurrence: (occurrence: Omit<Occurrence, "at">) => void;
}

/** Looks after every tunnel's end of this box. */
export interface TunnelKeeper extends Service {
  statusOf(id: string): TunnelStatus | undefined;
  healthOf(id: string): OwnHealth;
  /** What a workload waits for, as far as tunnels are concerned. */
  awaits(workload: Workload): Awaiting | undefined;
  /** A stream that goes through a tunnel has failed: true when that tunnel explains it. */
  explainsFailure(id: string): boolean;
  /** The next process of this end has read this. */
  written(id: string, spec: TunnelSpec): void;
  /** Something may have changed: what is expected, or what runs. */
  poke(): void;
}

interface Tended {
  readonly tender: TunnelTender;
  readonly stop: AbortController;
  readonly done: Promise<void>;
  phase: TunnelEndPhase;
  reason: string | undefined;
  sinceWallMs: number;
  /** Of what is told and was told last. */
  told: string;
  written: TunnelSpec | undefined;
  hasWarned: boolean;
}

const PERIOD_MS = 5000;
/** Before the end of its lifetime. */
const WARNING_MS = 300_000;
const NOT_WORKING: OwnHealth = { isWorking: false, finding: undefined };

export function createTunnelKeeper(options: TunnelKeeperOptions, deps: TunnelKeeperDeps): TunnelKeeper {
  const { clock, log } = deps;
  const tended = new Map<string, Tended>();
  let wake = () => {};
  let isPoked = false;

  const tunnelOf = (id: string): TunnelWorkload | undefined => {
    const workload = deps.expected().get(id);
    return workload?.kind === "tunnel" && !deps.isRefused(id) ? workload : undefined;
  };

  const poke = () => {
    isPoked = true;
    wake();
  };

  const phaseOf = (workload: TunnelWorkload, tender: TunnelTender) =>
    tunnelPhase({ ...tender.facts(), awaits: certificateAwaited(workload)?.text });

  /** Says what has changed of one end. */
  const tell = (workload: TunnelWorkload, one: Tended): void => {
    const { phase, reason } = phaseOf(workload, one.tender);
    const { uid, role } = workload.spec;
    const before = one.phase;
    if (phase !== before) {
      one.phase = phase;
      one.sinceWallMs = clock.wallMs();
      const why = reason === undefined ? "" : `: ${reason}`;
      const text = `Tunnel ${uid}, ${role}'s end: ${before} → ${phase}${why}`;
      if (phase === "degraded" || phase === "down") log.warn(text);
      else log.info(text);
      deps.onOccurrence({ kind: "tunnel", workloadId: workload.id, text: `${before} → ${phase}${why}` });
      if (phase === "up") deps.onUp(uid);
      if (phase === "up" || before === "up") deps.wake();
    }
    one.reason = reason;
    const { certificates, presents, accepts, busy, proof } = one.tender.status();
    const now = JSON.stringify([
      phase,
      reason,
      certificates?.map(({ sha256 }) => sha256),
      presents,
      accepts,
      busy,
      proof,
    ]);
    if (now === one.told) return;
    one.told = now;
    deps.onChange();
  };

  const tend = (workload: TunnelWorkload): void => {
    const { id } = workload;
    const stop = new AbortController();
    const tender = createTunnelTender(
      { ...options, id, directory: deps.directoryOf(id) },
      {
        ...deps,
        spec: () => tunnelOf(id)?.spec,
        unit: () => deps.unitOf(tunnelOf(id) ?? workload),
        output: () => deps.outputOf(id),
        onPrepared: () => deps.onPrepared(id),
        onStarted: (handle) => deps.onStarted(workload, handle),
        written: () => tended.get(id)?.written,
        onChange: () => {
          const one = tended.get(id);
          const now = tunnelOf(id);
          if (one !== undefined && now !== undefined) tell(now, one);
        },
      },
    );
    const one: Tended = {
      tender,
      stop,
      phase: "preparing",
      reason: undefined,
      sinceWallMs: clock.wallMs(),
      told: "",
      written: undefined,
      hasWarned: false,
      done: Promise.resolve().then(() => tender.run(stop.signal)),
    };
    tended.set(id, one);
  };

  const release = (id: string, one: Tended): void => {
    tended.delete(id);
    one.stop.abort();
    void one.done.then(() => {
      if (!tended.has(id) && tunnelOf(id) === undefined) deps.discard(id);
    });
  };

  const watchLifetime = ({ id, spec }: TunnelWorkload, one: Tended): void => {
    if (spec.endsAt === undefined) return;
    const leftMs = Date.parse(spec.endsAt) - clock.wallMs();
    if (leftMs <= 0) deps.wake();
    else if (leftMs <= WARNING_MS && !one.hasWarned) {
      one.hasWarned = true;
      const text = `its lifetime ends at ${spec.endsAt}, in ${Math.ceil(leftMs / 1000)} s`;
      log.warn(`Tunnel ${spec.uid}: ${text}`);
      deps.onOccurrence({ kind: "lifetime", workloadId: id, text });
    } else if (leftMs > WARNING_MS) one.hasWarned = false;
  };

  const lap = (): number => {
    for (const [id, one] of tended) if (tunnelOf(id) === undefined) release(id, one);
    let waitMs = PERIOD_MS;
    for (const [id] of deps.expected()) {
      const workload = tunnelOf(id);
      if (workload === undefined) continue;
      if (!tended.has(id)) tend(workload);
      const one = tended.get(id);
      if (one === undefined) continue;
      one.tender.poke();
      watchLifetime(workload, one);
      const leftMs = workload.spec.endsAt === undefined ? PERIOD_MS : Date.parse(workload.spec.endsAt) - clock.wallMs();
      waitMs = Math.min(waitMs, Math.max(leftMs + 1, 10));
    }
    return waitMs;
  };

  const endOf = (uid: string): TunnelWorkload | undefined => {
    const ends = [...deps.expected().values()].flatMap((one) =>
      one.kind === "tunnel" && one.spec.uid === uid ? one : [],
    );
    // Streams go in where consumers do, where this box has both ends.
    return ends.find(({ spec }) => spec.role === "consumer") ?? ends[0];
  };

  const tunnelAwaited = (uid: string): Awaiting | undefined => {
    const end = endOf(uid);
    const what = `tunnel ${uid}`;
    if (end === undefined) {
      return { what, holder: uid, text: `it goes through tunnel ${uid}, which has no end on this box` };
    }
    if (tended.get(end.id)?.phase === "up") return undefined;
    return {
      what,
      holder: end.id,
      text: `it goes through tunnel ${uid}, which is not up: sluice explain ${end.id} says why, and no failure counts meanwhile`,
    };
  };

  return {
    name: "tunnels",
    poke,
    written: (id, spec) => {
      const one = tended.get(id);
      if (one !== undefined) one.written = spec;
    },
    healthOf: (id) => tended.get(id)?.tender.health() ?? NOT_WORKING,
    awaits: (workload) => {
      if (workload.kind === "tunnel") return certificateAwaited(workload);
      return workload.kind !== "stream" || workload.spec.via === undefined
        ? undefined
        : tunnelAwaited(workload.spec.via);
    },
    explainsFailure: (id) => {
      const workload = deps.expected().get(id);
      if (workload?.kind !== "stream" || workload.spec.via === undefined) return false;
      const end = endOf(workload.spec.via);
      // What the tunnel did since its last proof shows only now.
      if (end !== undefined) tended.get(end.id)?.tender.doubt();
      return tunnelAwaited(workload.spec.via) !== undefined;
    },
    statusOf: (id) => {
      const workload = tunnelOf(id);
      const one = tended.get(id);
      if (workload === undefined || one === undefined) return undefined;
      const { uid, role, minTls = DEFAULT_MIN_TLS, legs } = workload.spec;
      const { phase, reason } = phaseOf(workload, one.tender);
      return {
        uid,
        role,
        phase,
        ...(reason === undefined ? {} : { reason }),
        since: new Date(one.sinceWallMs).toISOString(),
        minTls,
        legs: legs.map(({ listen, connect }) => ({
          listen: formatPoint(listen.address, listen.port),
          connect: formatPoint(connect.host, connect.port),
        })),
        ...one.tender.status(),
      };
    },
    run: async (signal) => {
      while (!signal.aborted) {
        isPoked = false;
        const waitMs = lap();
        deps.progress.advance(waitMs);
        if (isPoked) continue;
        const woken = new AbortController();
        wake = () => woken.abort();
        await clock.delay(waitMs, AbortSignal.any([signal, woken.signal])).catch(() => undefined);
        wake = () => {};
      }
      const ends = [...tended.values()];
      for (const { stop } of ends) stop.abort();
      await Promise.all(ends.map(({ done }) => done)).catch((thrown: unknown) => {
        log.warn(`A tunnel's end was left in a bad way: ${messageOf(thrown)}`);
      });
    },
  };
}

function certificateAwaited({ spec: { uid, role, security } }: TunnelWorkload): Awaiting | undefined {
  if (security.kind !== "cert" || security.peerCertificates.length > 0) return undefined;
  const other = role === "producer" ? "consumer" : "producer";
  const what = `certificate of the ${other}'s end`;
  return { what, holder: `tunnel ${uid}`, text: `it waits for the ${what} of tunnel ${uid}` };
}
