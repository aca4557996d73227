import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile } from "../../../base/atomic-file.ts";
import type { Clock } from "../../../base/clock.ts";
import { AppError, messageOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { TunnelSpec } from "../../../contract/tunnel-spec.ts";
import type { TunnelStatus } from "../../../contract/tunnel-status.ts";
import type { Finding } from "../../health/finding.ts";
import type { ProcessHandle } from "../../runtime/process/process-runtime.ts";
import type { OwnHealth } from "../driver.ts";
import { checkPort, showPoint } from "./port-check.ts";
import { tunnelFiles } from "./tunnel-files.ts";
import { loadTunnelKey, readTunnelKeys, removeTunnelKeysExcept, type TunnelKey } from "./tunnel-keys.ts";
import { type LoadedSecurity, loadedSecurity } from "./tunnel-loaded.ts";
import type { TunnelFactsNow } from "./tunnel-phase.ts";
import { createTunnelProver, type TunnelProver, type TunnelProverDeps } from "./tunnel-prover.ts";
import { reloadTunnel } from "./tunnel-reload.ts";
import { writeTunnelFiles } from "./write-tunnel-files.ts";

/** What the engine shows of one end. */
export interface TunnelUnit {
  /** Of a process that runs and is meant to go on. */
  readonly handle: ProcessHandle | undefined;
  /** It runs what the spec asks for, keys and certificates left aside. */
  readonly isCurrent: boolean;
  /** Launches so far. */
  readonly generation: number;
  /** It is neither running nor on its way. */
  readonly isIdle: boolean;
  /** Why there is no process. */
  readonly absence: string | undefined;
}

export interface TunnelTenderOptions {
  readonly id: string;
  readonly directory: string;
  readonly stunnelPath: string;
  readonly proofPeriodMs: number;
}

export interface TunnelTenderDeps extends TunnelProverDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** `undefined` once it is no longer expected. */
  readonly spec: () => TunnelSpec | undefined;
  readonly unit: () => TunnelUnit;
  /** The last lines of the process's output, read just now. */
  readonly output: () => readonly string[];
  /** What the process that was launched last has read; undefined for one of an earlier agent's. */
  readonly written: () => TunnelSpec | undefined;
  /** What kept it from being started is gone. */
  readonly onPrepared: () => void;
  /** A process of this agent's has begun. */
  readonly onStarted: (handle: ProcessHandle) => void;
  /** Something of what it tells has changed. */
  readonly onChange: () => void;
}

type OwnStatus = Pick<
  TunnelStatus,
  "busy" | "certificates" | "presents" | "accepts" | "proof" | "latencyMs" | "connections" | "bytes" | "bitsPerSecond"
>;

/** Looks after one end from the moment it is expected: keys, ports, what the running process has read, and its proof. */
export interface TunnelTender {
  facts(): Omit<TunnelFactsNow, "awaits">;
  health(): OwnHealth;
  status(): OwnStatus;
  /** Somebody who uses it has failed: it is proved again now. */
  doubt(): void;
  /** Looks again, now. */
  poke(): void;
  run(signal: AbortSignal): Promise<void>;
}

interface Process extends TunnelProver {
  readonly nonce: string;
  loaded: LoadedSecurity | undefined;
}

const IDLE_MS = 15_000;
/** A key or a port that could not be had is tried again. */
const UNPREPARED_MS = 2000;

export function createTunnelTender(options: TunnelTenderOptions, deps: TunnelTenderDeps): TunnelTender {
  const { clock, log } = deps;
  const files = tunnelFiles(options.directory);
  /** What the running process has read is kept beside it, so that the next agent need not have it read again. */
  const loadedPath = join(options.directory, "loaded");
  let keys: readonly TunnelKey[] = [];
  let busy: NonNullable<TunnelStatus["busy"]> = [];
  let unprepared: string | undefined = "it makes its keys and looks at its ports";
  let looked: { readonly legs: TunnelSpec["legs"]; readonly generation: number; readonly atMs: number } | undefined;
  let current: Process | undefined;
  /** Why the running process does not take what it should read. */
  let stale: string | undefined;
  let wake = () => {};
  let isPoked = false;

  const poke = () => {
    isPoked = true;
    wake();
  };

  const makeKeys = async ({ uid, role, security }: TunnelSpec, signal: AbortSignal): Promise<void> => {
    if (security.kind !== "cert") return;
    const wanted = [security.keyGeneration, security.nextKeyGeneration].filter((one) => one !== undefined);
    if (wanted.every((generation) => keys.some((key) => key.generation === generation))) return;
    for (const generation of wanted) {
      await loadTunnelKey({ files, uid, role, generation }, { runProgram: deps.runProgram, signal });
    }
    keys = await readTunnelKeys(files);
  };

  /** While nothing is started there: a look takes the port for an instant. */
  const lookAtPorts = async ({ legs }: TunnelSpec, generation: number): Promise<void> => {
    const found: typeof busy = [];
    let problem: string | undefined;
    for (const [index, { listen }] of legs.entries()) {
      try {
        await checkPort(listen, `legs[${index}].listen`);
      } catch (thrown) {
        problem ??= messageOf(thrown);
        if (!(thrown instanceof AppError) || thrown.code !== "conflict") continue;
        const holder = / is taken by (.+)$/s.exec(thrown.message)?.[1];
        found.push({ listen: showPoint(listen), ...(holder === undefined ? {} : { holder }) });
      }
    }
    looked = { legs, generation, atMs: clock.monotonicMs() };
    busy = found;
    unprepared = problem;
  };

  const prepare = async (spec: TunnelSpec, { isIdle, generation }: TunnelUnit): Promise<number> => {
    current = undefined;
    stale = undefined;
    if (!isIdle) return IDLE_MS;
    const isNew = looked?.legs !== spec.legs || looked.generation !== generation;
    const isDue = unprepared !== undefined && clock.monotonicMs() - (looked?.atMs ?? 0) >= UNPREPARED_MS;
    if (isNew || isDue) await lookAtPorts(spec, generation);
    // What kept it from being started is gone: its next start need not wait for its turn.
    if (isDue && unprepared === undefined && generation > 0) deps.onPrepared();
    return unprepared === undefined ? IDLE_MS : UNPREPARED_MS;
  };

  const remember = async (nonce: string, { print }: LoadedSecurity): Promise<void> => {
    // Without it the next agent has it read once more.
    await replaceFile(loadedPath, `${nonce} ${print}\n`, false).catch(() => undefined);
  };

  const meet = async (handle: ProcessHandle, spec: TunnelSpec): Promise<Process> => {
    const { nonce } = handle.mark;
    const { pid } = handle.identity;
    const prover = createTunnelProver({ ...options, pid, files }, deps);
    const written = deps.written();
    if (!handle.isAdopted && written !== undefined) {
      const loaded = loadedSecurity(written, keys);
      deps.onStarted(handle);
      await remember(nonce, loaded);
      return { ...prover, nonce, loaded };
    }
    const wanted = loadedSecurity(spec, keys);
    const text = await readFile(loadedPath, "utf8").catch(() => "");
    return { ...prover, nonce, loaded: text.trim() === `${nonce} ${wanted.print}` ? wanted : undefined };
  };

  /** Lets the running process read what has changed. It never leaves a process with nobody to accept. */
  const refresh = async (process: Process, handle: ProcessHandle, spec: TunnelSpec, signal: AbortSignal) => {
    const wanted = loadedSecurity(spec, keys);
    if (wanted.print === process.loaded?.print || wanted.accepts.length === 0) return;
    await writeTunnelFiles(spec, files);
    const outcome = await reloadTunnel(handle, { clock, signal, output: deps.output });
    if (outcome.kind !== "loaded") {
      const why = outcome.kind === "rejected" ? outcome.evidence : "it did not answer";
      if (stale !== why) log.warn(`${options.id} has not taken its new keys: ${why}`);
      stale = why;
      return;
    }
    if (process.loaded !== undefined) log.info(`${options.id} has read its new keys; its connections go on`);
    stale = undefined;
    process.loaded = wanted;
    process.doubt(true);
    await remember(process.nonce, wanted);
    if (spec.security.kind === "cert") {
      const { keyGeneration, nextKeyGeneration } = spec.security;
      await removeTunnelKeysExcept(files, [
        keyGeneration,
        ...(nextKeyGeneration === undefined ? [] : [nextKeyGeneration]),
      ]);
      keys = await readTunnelKeys(files);
    }
  };

  /** Does what is due; resolves with the time in which nothing is. */
  const step = async (signal: AbortSignal): Promise<number> => {
    const spec = deps.spec();
    if (spec === undefined) return IDLE_MS;
    await makeKeys(spec, signal);
    const unit = deps.unit();
    const { handle } = unit;
    if (handle === undefined) return prepare(spec, unit);
    busy = [];
    unprepared = undefined;
    looked = undefined;
    if (!unit.isCurrent) return IDLE_MS;
    if (current?.nonce !== handle.mark.nonce) current = await meet(handle, spec);
    await refresh(current, handle, spec, signal);
    const waitMs = await current.step(spec, signal);
    return stale === undefined ? waitMs : Math.min(waitMs, UNPREPARED_MS);
  };

  const rest = async (ms: number, signal: AbortSignal): Promise<void> => {
    if (!isPoked) {
      const woken = new AbortController();
      wake = () => woken.abort();
      await clock.delay(ms, AbortSignal.any([signal, woken.signal])).catch(() => undefined);
      wake = () => {};
    }
    isPoked = false;
  };

  return {
    poke,
    doubt: () => {
      current?.doubt(false);
      poke();
    },
    facts: () => {
      const { handle, generation, isIdle, absence } = deps.unit();
      return {
        isPrepared: unprepared === undefined,
        unprepared,
        process: handle !== undefined ? "running" : isIdle && generation > 0 ? "gone" : "none",
        absence,
        isProved: current?.isProved(),
        doubt: current?.reason() ?? stale,
      };
    },
    health: () => ({
      isWorking: current?.isProved() === true,
      finding: current?.finding() ?? (stale === undefined ? undefined : staleFinding(stale)),
    }),
    status: () => {
      const { loaded } = current ?? {};
      const proof = current?.proof();
      const figures = Object.entries(current?.figures() ?? {}).filter(([, value]) => value !== undefined);
      return {
        ...(busy.length === 0 ? {} : { busy }),
        ...(keys.length === 0 ? {} : { certificates: keys.map(({ path: _path, ...key }) => key) }),
        ...(loaded?.presents === undefined ? {} : { presents: loaded.presents }),
        ...(loaded === undefined ? {} : { accepts: [...loaded.accepts] }),
        ...(proof === undefined ? {} : { proof }),
        ...Object.fromEntries(figures),
      };
    },
    run: async (signal) => {
      while (!signal.aborted) {
        let waitMs = UNPREPARED_MS;
        try {
          waitMs = await step(signal);
        } catch (thrown) {
          if (signal.aborted) return;
          if (unprepared !== messageOf(thrown)) log.warn(`${options.id}: ${messageOf(thrown)}`);
          unprepared = messageOf(thrown);
        }
        deps.onChange();
        await rest(waitMs, signal);
      }
    },
  };
}

/** It serves as before, with what it had. */
function staleFinding(why: string): Finding {
  return { cause: "unproven", message: `its process has not taken its new keys: ${why}`, needsRestart: false };
}
