import { readFile } from "node:fs/promises";
import type { TunnelLeg, TunnelSpec } from "../../../contract/tunnel-spec.ts";
import type { TunnelProof } from "../../../contract/tunnel-status.ts";
import { isSamePoint, showPoint } from "./port-check.ts";
import { findMisplacedTrust, optionOf, parseStunnelConfig, type StunnelService } from "./trust-check.ts";
import { type AttackDeps, type AttackResult, attackClient, attackServer } from "./tunnel-attacks.ts";
import { ownKeyPath, type TunnelFiles } from "./tunnel-files.ts";
import { type Handshake, type Passage, passThrough, shakeHands } from "./tunnel-handshake.ts";
import { loadAttackerKey } from "./tunnel-keys.ts";
import { readTunnelTraffic } from "./tunnel-traffic.ts";

export interface ProofRequest {
  readonly spec: TunnelSpec;
  readonly files: TunnelFiles;
  /** Of the running stunnel. */
  readonly pid: number;
  readonly stunnelPath: string;
  /** Counts the proofs from 0. The first goes through every leg, each later one through the next of them. */
  readonly round: number;
}

export type ProofDeps = AttackDeps;

export interface ProofVerdict {
  readonly proof: TunnelProof;
  /** Every attack was refused and, at the consumer's end, the peer is the pinned one and every source was reached. */
  readonly isProved: boolean;
  /** Why not. */
  readonly reason?: string;
  /** What failed is of this end's own process: it does not listen as it was asked to. A new start would help. */
  readonly needsRestart: boolean;
  /** Of the own handshake with the peer. */
  readonly latencyMs?: number;
}

/**
 * Attacks one end and, at the consumer's, goes through to the source. Some 200 ms between boxes that are near; at most some
 * seconds when something is wrong. Rejects only with the signal's reason.
 */
export async function proveTunnel(request: ProofRequest, deps: ProofDeps): Promise<ProofVerdict> {
  const { spec, files, round } = request;
  const startMs = deps.clock.monotonicMs();
  const at = new Date(deps.clock.wallMs()).toISOString();
  const [configText, own, peersText, secretsText, commandLine] = await Promise.all([
    readText(files.configPath),
    spec.security.kind === "cert" ? readText(ownKeyPath(files, spec.security.keyGeneration)) : undefined,
    readText(files.peersPath),
    readText(files.secretsPath),
    readText(`/proc/${request.pid}/cmdline`),
  ]);
  const services = parseStunnelConfig(configText).services;
  const [attacks, passages] = await Promise.all([
    attackerFor(spec, files, deps).then((attacker) => attackAll(request, { services, attacker, own }, deps)),
    spec.role === "consumer" ? goThrough(spec, { round, own }, deps) : undefined,
  ]);
  deps.signal.throwIfAborted();
  const listeners = judgeListeners(request.pid, spec.legs);
  const all = [...attacks, listeners];
  const misplaced = findMisplacedTrust(spec, files, { configText, peersText, secretsText });
  // What is attacked here by its configuration must be the one that the process reads.
  const isOther = commandLine !== "" && !commandLine.split("\0").includes(files.configPath);
  const reasons = [
    ...(isOther ? [`process ${request.pid} runs another configuration than ${files.configPath}`] : []),
    ...(misplaced === undefined ? [] : [misplaced]),
    ...all.filter(({ isRefused }) => !isRefused).map(({ attack, how }) => `not refused: ${attack} (${how})`),
    ...(passages?.reasons ?? []),
  ];
  const handshake = passages?.handshake;
  return {
    proof: {
      at,
      tookMs: deps.clock.monotonicMs() - startMs,
      ...(handshake?.protocol === undefined ? {} : { protocol: handshake.protocol }),
      ...(handshake?.cipher === undefined ? {} : { cipher: handshake.cipher }),
      ...(handshake?.peer === undefined ? {} : { peer: handshake.peer }),
      ...(passages?.through === undefined ? {} : { through: passages.through }),
      attacks: all,
    },
    isProved: reasons.length === 0,
    ...(reasons.length === 0 ? {} : { reason: reasons.join("; ") }),
    needsRestart: isOther || !listeners.isRefused || passages?.isClosed === true,
    ...(handshake?.latencyMs === undefined ? {} : { latencyMs: handshake.latencyMs }),
  };
}

/** What the first of the pinned certificates calls itself, the attacker calls himself too. */
async function attackerFor({ security }: TunnelSpec, files: TunnelFiles, deps: ProofDeps): Promise<string | undefined> {
  const likeness = security.kind === "cert" ? security.peerCertificates[0] : undefined;
  try {
    return await loadAttackerKey({ files, likeness }, deps);
  } catch {
    deps.signal.throwIfAborted();
    return undefined;
  }
}

interface Arms {
  readonly services: readonly StunnelService[];
  readonly attacker: string | undefined;
  readonly own: string | undefined;
}

/** One leg of each kind: legs whose services are alike but for their addresses stand for one another, in turns. */
async function attackAll(
  { spec, files, stunnelPath, round }: ProofRequest,
  { services, attacker, own }: Arms,
  deps: ProofDeps,
): Promise<readonly AttackResult[]> {
  const attack = spec.role === "producer" ? attackServer : attackClient;
  const kinds = Map.groupBy(services, kindOf);
  const results = await Promise.all(
    [...kinds.values()].map(async (alike) => {
      const service = alike[round % alike.length];
      const leg = service === undefined ? undefined : legOf(service, spec.legs);
      if (service === undefined || leg === undefined || attacker === undefined) return [];
      return await attack({ spec, files, leg, service, stunnelPath, attacker, own }, deps);
    }),
  );
  const whole = mergeResults(results.flat());
  const how = attacker === undefined ? "no key to attack with could be made" : "it could not be tried";
  return whole.length > 0 ? whole : [{ attack: "wrong-certificate", isRefused: false, how }];
}

function kindOf({ options }: StunnelService): string {
  const alike = options.filter(({ name }) => !["accept", "connect", "delay"].includes(name));
  return alike.map(({ name, value }) => `${name}=${value}`).join("\n");
}

function legOf(service: StunnelService, legs: readonly TunnelLeg[]): TunnelLeg | undefined {
  const accept = optionOf(service, "accept");
  return legs.find(({ listen }) => `${listen.address}:${listen.port}` === accept) ?? legs[0];
}

/** One line an attack: that of a leg where it was not refused, if there is one. */
function mergeResults(results: readonly AttackResult[]): readonly AttackResult[] {
  const byAttack = Map.groupBy(results, ({ attack }) => attack);
  return [...byAttack.values()].flatMap((some) => some.find(({ isRefused }) => !isRefused) ?? some[0] ?? []);
}

interface Passages {
  readonly handshake: Handshake;
  readonly through: "byte" | "handshake" | undefined;
  readonly isClosed: boolean;
  readonly reasons: readonly string[];
}

async function goThrough(
  spec: TunnelSpec,
  { round, own }: { readonly round: number; readonly own: string | undefined },
  deps: ProofDeps,
): Promise<Passages> {
  const next = round % spec.legs.length;
  const legs = round === 0 ? spec.legs.map((_, index) => index) : [next];
  const handshake = await shakeHands({ spec, leg: next, own }, deps);
  const handshakeMs = handshake.latencyMs ?? 0;
  const passages = await Promise.all(legs.map((leg) => passThrough({ spec, leg, handshakeMs }, deps)));
  const failed = passages.filter(({ reason }) => reason !== undefined);
  // What is amiss between the ends explains whatever is amiss behind them.
  const telling = handshake.isTrusted ? failed : failed.filter(({ isClosed }) => isClosed);
  const reasons = [handshake.reason, ...telling.map(({ reason }) => reason)].filter((reason) => reason !== undefined);
  const through = failed.length > 0 || !handshake.isTrusted ? undefined : weakest(passages);
  return { handshake, through, isClosed: passages.some(({ isClosed }) => isClosed), reasons };
}

function weakest(passages: readonly Passage[]): "byte" | "handshake" {
  return passages.every(({ through }) => through === "byte") ? "byte" : "handshake";
}

/** The process listens where it was asked to and nowhere else. */
function judgeListeners(pid: number, legs: TunnelSpec["legs"]): AttackResult {
  const attack = "open-listener";
  const traffic = readTunnelTraffic(pid, { legs });
  if (traffic === undefined) return { attack, isRefused: false, how: `process ${pid} cannot be looked into` };
  const asked = legs.map(({ listen }) => listen);
  const missing = asked.filter((point) => !traffic.listens.some((other) => isSamePoint(point, other)));
  const extra = traffic.listens.filter((point) => !asked.some((other) => isSamePoint(point, other)));
  if (extra.length > 0)
    return { attack, isRefused: false, how: `it listens on ${extra.map(showPoint).join(", ")} too` };
  if (missing.length > 0)
    return { attack, isRefused: false, how: `it does not listen on ${missing.map(showPoint).join(", ")}` };
  return { attack, isRefused: true, how: `it listens on ${asked.map(showPoint).join(", ")} only` };
}

/** Empty where there is none: then nothing that follows will be right, and says so. */
async function readText(path: string): Promise<string> {
  return await readFile(path, "utf8").catch(() => "");
}
