import type { Clock } from "../../../base/clock.ts";
import type { LocalSocket } from "../../../base/tcp-table.ts";
import type { SessionWorkload } from "../../../contract/workload.ts";
import type { Finding } from "../../health/finding.ts";
import type { RunEndpoint, RunUsage, SessionRun } from "../../runtime/run-handle.ts";

export interface RunWatchDeps {
  readonly clock: Clock;
  /** Whether something accepts there. Never rejects. */
  readonly accepts: (point: { readonly address: string; readonly port: number }) => Promise<boolean>;
  /** TCP sockets in the network of a process, or in the box's own; undefined where they cannot be seen. */
  readonly sockets: (networkPid: number | undefined) => readonly LocalSocket[] | undefined;
  /** Datagrams that sockets in the network of a process have received; only grows. Undefined where it cannot be seen. */
  readonly datagrams: (networkPid: number) => number | undefined;
}

/** What is seen of the run that a session has at the moment. What asks its platform rejects while that cannot be asked. */
export interface RunWatch {
  /** True when it is another run than before. */
  follow(run: SessionRun | undefined): Promise<boolean>;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  isFrozen(): boolean;
  /** Tells its platform limits that are others than it was last told. */
  limit(resources: SessionWorkload["resources"]): Promise<void>;
  /** Asks its ports whether they accept until they do, and looks now and then whether they still listen. */
  probe(): Promise<void>;
  /** Its ports have accepted, or it has none and runs. `of`: false where another run is followed than that one. */
  isReady(of?: SessionRun): boolean;
  finding(): Finding | undefined;
  /** None while it stands still: nothing answers there. */
  endpoints(): readonly RunEndpoint[];
  hostPorts(): readonly number[];
  /** Undefined where it has no ports that connections can be counted of. */
  countConnections(): number | undefined;
  openConnections(): number | undefined;
  /** Whether datagrams came into its own network since the last call; undefined where that is not told, or not yet. */
  countDatagrams(): boolean | undefined;
  /** Reads anew what is older than this. */
  readUsage(maxAgeMs: number): Promise<void>;
  cpuPercent(): number | undefined;
  usage(): { readonly cpuPercent: number; readonly rssBytes: number } | undefined;
  instance(): string | undefined;
}

/** Nothing accepts for this long after a start: it is said, and nothing else is done about it. */
const START_WARNING_MS = 60_000;
const TRY_FADES_MS = 1000;
const PROBE_AGAIN_MS = 10_000;
/** One that has accepted and does not listen at so many looks in a row. */
const MISSES = 3;

export function createRunWatch(deps: RunWatchDeps): RunWatch {
  const { clock } = deps;
  let run: SessionRun | undefined;
  let frozen = false;
  let ready = false;
  let placed: readonly RunEndpoint[] = [];
  let sinceMs = 0;
  let probedAtMs = 0;
  let misses = 0;
  let triedAtMs = Number.NEGATIVE_INFINITY;
  let connections: number | undefined;
  let datagrams: number | undefined;
  let last: { readonly atMs: number; readonly usage: RunUsage } | undefined;
  let cpuPercent: number | undefined;
  let limited: string | undefined;

  const tcp = () => placed.filter(({ protocol }) => protocol === "tcp");

  /** Undefined where its ports are not on this box, or cannot be seen. */
  const sockets = (): readonly LocalSocket[] | undefined =>
    run === undefined || run.platform === "kubernetes" ? undefined : deps.sockets(run.networkPid());

  /** By number, as its sockets show them. */
  const ports = (): ReadonlySet<number> => {
    const isInside = run?.networkPid() !== undefined;
    return new Set(tcp().map(({ port, hostPort }) => (isInside ? port : hostPort)));
  };

  const isListening = (): boolean => {
    const found = sockets();
    if (found === undefined) return true;
    return [...ports()].every((wanted) => found.some(({ port, isListening }) => isListening && port === wanted));
  };

  const reset = (next: SessionRun | undefined) => {
    run = next;
    frozen = false;
    ready = false;
    placed = [];
    sinceMs = clock.monotonicMs();
    misses = 0;
    connections = undefined;
    datagrams = undefined;
    last = undefined;
    cpuPercent = undefined;
    limited = undefined;
  };

  return {
    follow: async (next) => {
      if (next === run) return false;
      if (next === undefined) {
        reset(undefined);
        return true;
      }
      const [isFrozen, endpoints] = await Promise.all([next.isFrozen(), next.endpoints()]);
      reset(next);
      frozen = isFrozen;
      placed = endpoints;
      return true;
    },
    freeze: async () => {
      if (frozen || run === undefined) return;
      await run.freeze();
      frozen = true;
      connections = undefined;
    },
    thaw: async () => {
      if (!frozen || run === undefined) return;
      await run.thaw();
      frozen = false;
      ready = false;
      sinceMs = clock.monotonicMs();
      last = undefined;
    },
    isFrozen: () => frozen,
    limit: async (resources) => {
      const wish = JSON.stringify(resources ?? {});
      if (run?.limit === undefined || wish === limited) return;
      // What it refuses is said once, and not asked for again before somebody wishes something else.
      limited = wish;
      await run.limit(resources);
    },
    probe: async () => {
      if (run === undefined || frozen) return;
      const nowMs = clock.monotonicMs();
      const told = run.told?.();
      if (told?.isReady === false) ready = false;
      if (told?.isReady === false || (ready && nowMs - probedAtMs < PROBE_AGAIN_MS)) return;
      probedAtMs = nowMs;
      if (told !== undefined) {
        // Where it is reached may come, and change, long after it has begun.
        const asked = run;
        const endpoints = await run.endpoints();
        if (run === asked) {
          placed = endpoints;
          ready = true;
        }
        return;
      }
      if (ready) {
        // Looked at from outside: a connection of ours would be use in its eyes, and in the eyes of who counts them.
        misses = isListening() ? 0 : misses + 1;
        return;
      }
      const asked = run;
      const answers = await Promise.all(
        tcp().map(({ address, hostPort }) => deps.accepts({ address, port: hostPort })),
      );
      triedAtMs = clock.monotonicMs();
      // An engine accepts in the application's place, and on a busy box hangs up late: what counts is who listens behind it.
      const isOwn = run?.networkPid() === undefined;
      if (run === asked) ready = answers.every(Boolean) && (isOwn || isListening());
    },
    isReady: (of = run) => ready && run !== undefined && run === of && !frozen,
    finding: () => {
      if (run === undefined || frozen) return undefined;
      if (run.told !== undefined) return run.told().finding;
      const openMs = clock.monotonicMs() - sinceMs;
      const isLate = !ready && openMs >= START_WARNING_MS;
      if (!isLate && !(ready && misses >= MISSES)) return undefined;
      const where = tcp()
        .map(({ address, hostPort }) => `${address}:${hostPort}`)
        .join(", ");
      const since = isLate ? ` ${Math.round(openMs / 1000)} s after its start` : "";
      return { cause: "not-listening", message: `not every port of it accepts${since}: ${where}`, needsRestart: false };
    },
    endpoints: () => (frozen ? [] : placed),
    hostPorts: () => placed.flatMap(({ hostPort, isElsewhere }) => (isElsewhere === true ? [] : [hostPort])),
    countConnections: () => {
      const wanted = ports();
      const found = wanted.size === 0 ? undefined : sockets();
      // What a shared reading shows so soon after a try of ours may be ours: it is no use, and whoever uses it is seen at the next look.
      if (found !== undefined && clock.monotonicMs() - triedAtMs < TRY_FADES_MS) return 0;
      connections = found?.filter(({ port, isEstablished }) => isEstablished && wanted.has(port)).length;
      return connections;
    },
    openConnections: () => connections,
    countDatagrams: () => {
      const pid = run?.networkPid();
      const before = datagrams;
      datagrams = pid === undefined ? undefined : deps.datagrams(pid);
      return before === undefined || datagrams === undefined ? undefined : datagrams > before;
    },
    readUsage: async (maxAgeMs) => {
      const nowMs = clock.monotonicMs();
      if (run === undefined || (last !== undefined && nowMs - last.atMs < maxAgeMs)) return;
      const asked = run;
      const usage = await run.usage();
      if (usage === undefined || run !== asked) return;
      if (last !== undefined && nowMs > last.atMs) {
        // What a child had used leaves the sum with it.
        const usedMs = Math.max(0, usage.cpuMs - last.usage.cpuMs);
        cpuPercent = (usedMs / (nowMs - last.atMs)) * 100;
      }
      last = { atMs: nowMs, usage };
    },
    cpuPercent: () => (frozen ? undefined : cpuPercent),
    usage: () =>
      last === undefined
        ? undefined
        : { cpuPercent: Math.round((frozen ? 0 : (cpuPercent ?? 0)) * 10) / 10, rssBytes: last.usage.memoryBytes },
    instance: () => run?.instance,
  };
}
