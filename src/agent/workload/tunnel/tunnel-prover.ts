import type { Clock } from "../../../base/clock.ts";
import type { SocketTable } from "../../../base/socket-table.ts";
import type { RunProgram } from "../../../base/spawn.ts";
import type { TunnelSpec } from "../../../contract/tunnel-spec.ts";
import type { TunnelProof } from "../../../contract/tunnel-status.ts";
import type { Finding } from "../../health/finding.ts";
import { isSamePoint, type ListenPoint, showPoint } from "./port-check.ts";
import type { TunnelFiles } from "./tunnel-files.ts";
import type { ProofDeps, ProofRequest, ProofVerdict } from "./tunnel-proof.ts";
import { readTunnelTraffic, type TunnelTraffic } from "./tunnel-traffic.ts";

export interface TunnelProverOptions {
  readonly pid: number;
  readonly files: TunnelFiles;
  readonly stunnelPath: string;
  /** Between two whole proofs. */
  readonly proofPeriodMs: number;
}

/** What one handshake of the consumer's end with its peer shows. */
export interface PeerCheck {
  readonly isTrusted: boolean;
  readonly latencyMs?: number;
  /** Why it is not. */
  readonly reason?: string;
}

export interface TunnelProverDeps {
  readonly clock: Clock;
  readonly runProgram: RunProgram;
  /** Of the network that the process is in. */
  readonly sockets: SocketTable;
  /** The whole proof: attacks, and at the consumer's end the way to the source. Rejects only with the signal's reason. */
  readonly prove: (request: ProofRequest, deps: ProofDeps) => Promise<ProofVerdict>;
  /** Rejects only with the signal's reason. */
  readonly checkPeer: (
    request: {
      readonly spec: TunnelSpec;
      readonly files: TunnelFiles;
      readonly leg: number;
      /** The whole proof comes next if it goes well. */
      readonly isGlance: boolean;
    },
    signal: AbortSignal,
  ) => Promise<PeerCheck>;
}

export interface TunnelFigures {
  readonly latencyMs: number | undefined;
  readonly connections: number | undefined;
  readonly bytes: number | undefined;
  readonly bitsPerSecond: number | undefined;
}

/** Proves one running process of one end, over and over. */
export interface TunnelProver {
  /** Does what is due; resolves with the time in which nothing is. Never rejects but with the signal's reason. */
  step(spec: TunnelSpec, signal: AbortSignal): Promise<number>;
  /** What was proved may no longer hold: the next step proves it, `isWhole` by attacks too. */
  doubt(isWhole: boolean): void;
  /** `undefined`: not yet. */
  isProved(): boolean | undefined;
  reason(): string | undefined;
  finding(): Finding | undefined;
  proof(): TunnelProof | undefined;
  figures(): TunnelFigures;
}

/** The other end is being set up at the same time: first asked quickly, then patiently. */
const FIRST_TRY_MS = 20;
const TRY_GROWTH = 1.4;
const PATIENT_TRY_MS = 2000;
/** A handshake with the peer, or a look at the own listeners. */
const CHECK_MS = 15_000;
/** A whole proof that failed is not repeated at once: its attacks cost a second of processor time. */
const FAILED_PROOF_MS = 5000;
const SAMPLE_MS = 5000;
/** How old the kernel's list of sockets may be: it is shared with all other ends of the box. What has gone since is seen at the process itself. */
const SHARED_MS = 1000;
/** stunnel listens some ten milliseconds after its launch. */
const LISTEN_MS = 5000;
/** A first proof that has not come by then is worth a warning. */
const PATIENCE_MS = 10_000;

export function createTunnelProver(options: TunnelProverOptions, deps: TunnelProverDeps): TunnelProver {
  const { clock } = deps;
  const startedMs = clock.monotonicMs();
  let dueAtMs = startedMs;
  let wholeDueAtMs = startedMs;
  let proofs = 0;
  let checks = 0;
  let tries = 0;
  let isProved: boolean | undefined;
  let reason: string | undefined;
  let isOwnFault = false;
  let proof: TunnelProof | undefined;
  let latencyMs: number | undefined;
  let traffic: TunnelTraffic | undefined;
  let sampled: { readonly atMs: number; readonly bytes: number } | undefined;
  let bitsPerSecond: number | undefined;

  const isSampleDue = () => sampled === undefined || clock.monotonicMs() - sampled.atMs >= SAMPLE_MS;

  const look = (spec: TunnelSpec, maxAgeMs: number): void => {
    const needsV6 = spec.legs.some(({ listen }) => listen.address.includes(":"));
    traffic = readTunnelTraffic(options.pid, spec, deps.sockets.read({ maxAgeMs, needsV6 }));
    const nowMs = clock.monotonicMs();
    const bytes = traffic?.bytes;
    if (bytes === undefined || !isSampleDue()) return;
    if (sampled !== undefined) {
      bitsPerSecond = Math.max(0, Math.round(((bytes - sampled.bytes) * 8000) / (nowMs - sampled.atMs)));
    }
    sampled = { atMs: nowMs, bytes };
  };

  const fail = (why: string, isWhole: boolean, needsRestart = false): void => {
    reason = why;
    isOwnFault = needsRestart;
    if (isWhole || isProved !== undefined) isProved = false;
    tries++;
    const retryMs = isWhole ? FAILED_PROOF_MS : Math.min(FIRST_TRY_MS * TRY_GROWTH ** tries, PATIENT_TRY_MS);
    dueAtMs = clock.monotonicMs() + retryMs;
  };

  const succeed = (): void => {
    isProved = true;
    reason = undefined;
    isOwnFault = false;
    tries = 0;
    dueAtMs = clock.monotonicMs() + CHECK_MS;
  };

  /** Of every end: it listens where it should. Of the consumer's: the peer is the pinned one, and its source answers. */
  const check = async (spec: TunnelSpec, signal: AbortSignal): Promise<boolean> => {
    const findDeaf = () => spec.legs.find(({ listen }) => !listensOn(traffic, listen));
    const isLate = clock.monotonicMs() - startedMs > LISTEN_MS;
    // An older list does not know listeners that were opened meanwhile: a process that has read its files again has others.
    if (findDeaf() !== undefined) look(spec, isLate ? 0 : FIRST_TRY_MS);
    const deaf = findDeaf();
    if (deaf !== undefined) {
      fail(`nothing of it listens on ${showPoint(deaf.listen)}`, false, isLate);
      return false;
    }
    if (spec.role === "producer") return true;
    const isGlance = clock.monotonicMs() >= wholeDueAtMs;
    const leg = checks++ % spec.legs.length;
    const peer = await deps.checkPeer({ spec, files: options.files, leg, isGlance }, signal);
    latencyMs = peer.latencyMs ?? latencyMs;
    if (peer.isTrusted) return true;
    fail(peer.reason ?? "the other end is not proved", false);
    return false;
  };

  return {
    step: async (spec, signal) => {
      const isDue = clock.monotonicMs() >= dueAtMs;
      if (isDue || isSampleDue()) look(spec, SHARED_MS);
      if (isDue && (await check(spec, signal))) {
        if (clock.monotonicMs() < wholeDueAtMs) succeed();
        else {
          const { stunnelPath, files, pid } = options;
          const request = { spec, files, pid, stunnelPath, round: proofs++ };
          const verdict = await deps.prove(request, { clock, runProgram: deps.runProgram, signal });
          proof = verdict.proof;
          latencyMs = verdict.latencyMs ?? latencyMs;
          if (verdict.isProved) {
            succeed();
            wholeDueAtMs = clock.monotonicMs() + options.proofPeriodMs;
          } else fail(verdict.reason ?? "the proof failed", true, verdict.needsRestart);
        }
      }
      return Math.max(1, Math.min(dueAtMs - clock.monotonicMs(), SAMPLE_MS));
    },
    doubt: (isWhole) => {
      dueAtMs = clock.monotonicMs();
      if (isWhole) wholeDueAtMs = dueAtMs;
    },
    isProved: () => isProved,
    reason: () => reason,
    finding: () => {
      if (reason === undefined) return undefined;
      if (isOwnFault) return { cause: "not-listening", message: reason, needsRestart: true };
      const isLate = isProved === false || clock.monotonicMs() - startedMs > PATIENCE_MS;
      return isLate ? { cause: "unproven", message: reason, needsRestart: false } : undefined;
    },
    proof: () => proof,
    figures: () => ({ latencyMs, connections: traffic?.connections, bytes: traffic?.bytes, bitsPerSecond }),
  };
}

function listensOn(traffic: TunnelTraffic | undefined, asked: ListenPoint): boolean {
  return traffic?.listens.some((point) => isSamePoint(point, asked)) === true;
}
