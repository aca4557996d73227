import { createHash, randomBytes } from "node:crypto";
import type { ConnectionOptions } from "node:tls";
import type { RunProgram } from "../../../base/spawn.ts";
import type { TunnelLeg, TunnelSpec } from "../../../contract/tunnel-spec.ts";
import type { TunnelAttack, TunnelProof } from "../../../contract/tunnel-status.ts";
import {
  ANONYMOUS_SUITES,
  alertName,
  buildClientHello,
  lowestOffered,
  NULL_SUITES,
  type OfferedTls,
  readServerReply,
  USUAL_SUITES,
  versionBelow,
  versionName,
  WIRE_VERSIONS,
} from "./client-hello.ts";
import { probeRaw } from "./raw-probe.ts";
import { offerRogue } from "./rogue-peer.ts";
import { DEFAULT_MIN_TLS } from "./stunnel-config.ts";
import { type ProbeDeps, probeTls } from "./tls-probe.ts";
import type { StunnelService } from "./trust-check.ts";
import type { TunnelFiles } from "./tunnel-files.ts";

export type AttackResult = TunnelProof["attacks"][number];

/** What the attacks of one end have in common. */
export interface AttackRequest {
  readonly spec: TunnelSpec;
  readonly files: TunnelFiles;
  readonly leg: TunnelLeg;
  readonly service: StunnelService;
  readonly stunnelPath: string;
  /** Key and certificate in PEM of somebody whom no end knows. */
  readonly attacker: string;
  /** Of this end itself; absent with shared keys. */
  readonly own: string | undefined;
}

export interface AttackDeps extends ProbeDeps {
  readonly runProgram: RunProgram;
}

/** A refusal comes at once, but on a box that is busy to the brim; what has not come by then was none. */
const LIMIT_MS = 5000;
const PLAIN_TEXT = Buffer.from("GET / HTTP/1.0\r\n\r\n");
const PLAIN_RECORD = Buffer.concat([Buffer.from([22, 3, 1, 0, PLAIN_TEXT.length]), PLAIN_TEXT]);

/** All that a stranger can try at a producer's gateway. Each is refused by a TLS alert; nothing else counts as a refusal. */
export function attackServer(request: AttackRequest, deps: AttackDeps): Promise<readonly AttackResult[]> {
  const { spec, attacker, own } = request;
  const minTls = spec.minTls ?? DEFAULT_MIN_TLS;
  const withCertificate = own === undefined ? [attacker] : [attacker, own];
  return Promise.all([
    attackPlainly(request, deps),
    attackByHello(request, deps, { attack: "null-cipher", version: WIRE_VERSIONS["1.2"], suites: NULL_SUITES }),
    attackByHello(request, deps, {
      attack: "anonymous-cipher",
      version: WIRE_VERSIONS["1.2"],
      suites: ANONYMOUS_SUITES,
    }),
    attackByHello(request, deps, { attack: "old-tls", version: versionBelow(minTls), suites: USUAL_SUITES }),
    attackByHandshake("no-certificate", [{}], request, deps),
    attackByHandshake(
      "wrong-certificate",
      withCertificate.map((pem) => ({ key: pem, cert: pem })),
      request,
      deps,
    ),
    ...(spec.security.kind === "psk"
      ? [attackByHandshake("wrong-key", spec.security.keys.map(wrongKey), request, deps)]
      : []),
  ]);
}

/**
 * What a stranger in the peer's place can try at a consumer's end. What it would agree to is in its ClientHello; whom it
 * believes it shows to a rogue.
 */
export async function attackClient(request: AttackRequest, deps: AttackDeps): Promise<readonly AttackResult[]> {
  const { spec, attacker } = request;
  const common = {
    service: request.service,
    files: request.files,
    stunnelPath: request.stunnelPath,
    limitMs: LIMIT_MS,
  };
  const offer = (name: string, tls: Parameters<typeof offerRogue>[0]["rogue"]["tls"]) =>
    offerRogue({ ...common, rogue: { name, tls } }, deps);
  const [stranger, keyless] = await Promise.all([
    offer("certificate", { key: attacker, cert: attacker }),
    spec.security.kind === "psk"
      ? offer("key", { pskCallback: () => randomBytes(32), ciphers: SHARED_KEY_CIPHERS })
      : undefined,
  ]);
  const judge = (attack: TunnelAttack, outcome: typeof stranger): AttackResult => ({
    attack,
    isRefused: outcome.offered !== undefined && !outcome.isTaken,
    how: outcome.detail,
  });
  return [
    judge("rogue-peer", stranger),
    ...(keyless === undefined ? [] : [judge("wrong-key", keyless)]),
    judgeSuites("null-cipher", NULL_SUITES, stranger.offered),
    judgeSuites("anonymous-cipher", ANONYMOUS_SUITES, stranger.offered),
    judgeVersions(WIRE_VERSIONS[spec.minTls ?? DEFAULT_MIN_TLS], stranger.offered),
  ];
}

const SHARED_KEY_CIPHERS = "ECDHE-PSK-CHACHA20-POLY1305:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
const NOT_SEEN = "its ClientHello was not seen";

function judgeSuites(attack: TunnelAttack, bad: readonly number[], offered: OfferedTls | undefined): AttackResult {
  if (offered === undefined) return { attack, isRefused: false, how: NOT_SEEN };
  const taken = offered.suites.filter((suite) => bad.includes(suite));
  const shown = (suites: readonly number[]) =>
    suites.map((suite) => `0x${suite.toString(16).padStart(4, "0")}`).join(" ");
  return {
    attack,
    isRefused: taken.length === 0,
    how: taken.length === 0 ? `not among the suites it offers: ${shown(offered.suites)}` : `it offers ${shown(taken)}`,
  };
}

function judgeVersions(least: number, offered: OfferedTls | undefined): AttackResult {
  const attack = "old-tls";
  if (offered === undefined) return { attack, isRefused: false, how: NOT_SEEN };
  const lowest = lowestOffered(offered);
  if (lowest === undefined) {
    return { attack, isRefused: false, how: `it offers every version up to ${versionName(offered.highest)}` };
  }
  return { attack, isRefused: lowest >= least, how: `it offers ${versionName(lowest)} at the least` };
}

/** Where an end that listens on every address is reached from the box itself. */
export function reachable(listen: { readonly address: string; readonly port: number }): { host: string; port: number } {
  const loopback = listen.address === "0.0.0.0" ? "127.0.0.1" : /^[0:]+$/.test(listen.address) ? "::1" : undefined;
  return { host: loopback ?? listen.address, port: listen.port };
}

/**
 * Words as they are, which only a listener without TLS would take on; and words in a record of TLS, which TLS has to answer
 * with an alert. A listener that merely ends connections passes the first and not the second.
 */
async function attackPlainly({ leg }: AttackRequest, deps: AttackDeps): Promise<AttackResult> {
  const attack = "plain-text";
  const say = (bytes: Buffer) =>
    probeRaw({ ...reachable(leg.listen), bytes, limitMs: LIMIT_MS, isEnough: (received) => received.length > 6 }, deps);
  const [plain, record] = await Promise.all([say(PLAIN_TEXT), say(PLAIN_RECORD)]);
  const answer = readServerReply(plain.received);
  if (answer?.kind !== "alert" && (plain.end !== "closed" || plain.received.length > 0)) {
    return { attack, isRefused: false, how: `${plain.detail}, ${plain.received.length} bytes came` };
  }
  const reply = readServerReply(record.received);
  if (reply?.kind !== "alert") return { attack, isRefused: false, how: `no answer in TLS: ${record.detail}` };
  return { attack, isRefused: true, how: `nothing came, ${alertName(reply.description)}` };
}

interface Hello {
  readonly attack: TunnelAttack;
  readonly version: number;
  readonly suites: readonly number[];
}

/** A server that would go on answers with the version and cipher that it takes, before anybody has to say who he is. */
async function attackByHello(
  { leg }: AttackRequest,
  deps: AttackDeps,
  { attack, version, suites }: Hello,
): Promise<AttackResult> {
  const bytes = buildClientHello({ version, suites, random: randomBytes(32) });
  const isEnough = (received: Buffer) => readServerReply(received) !== undefined;
  const outcome = await probeRaw({ ...reachable(leg.listen), bytes, limitMs: LIMIT_MS, isEnough }, deps);
  const reply = readServerReply(outcome.received);
  if (reply?.kind === "alert") return { attack, isRefused: true, how: alertName(reply.description) };
  if (reply?.kind === "hello") {
    const suite = `0x${reply.suite.toString(16).padStart(4, "0")}`;
    return { attack, isRefused: false, how: `it takes ${versionName(reply.version)} with suite ${suite}` };
  }
  return { attack, isRefused: false, how: `no answer in TLS: ${outcome.detail}` };
}

/** All the ways must be refused, in every version of TLS that the end takes. */
async function attackByHandshake(
  attack: TunnelAttack,
  ways: readonly ConnectionOptions[],
  { spec, leg }: AttackRequest,
  deps: AttackDeps,
): Promise<AttackResult> {
  const versions = spec.minTls === "1.2" ? (["TLSv1.2", "TLSv1.3"] as const) : (["TLSv1.3"] as const);
  const outcomes = await Promise.all(
    ways.flatMap((way) =>
      versions.map((version) => {
        const options = { ...reachable(leg.listen), ...way, minVersion: version, maxVersion: version };
        return probeTls({ options, limitMs: LIMIT_MS, afterShakenMs: () => LIMIT_MS }, deps);
      }),
    ),
  );
  const accepted = outcomes.find(({ end }) => end !== "alert");
  if (accepted !== undefined) {
    const stage = accepted.isShaken ? "after a whole handshake: " : "";
    return { attack, isRefused: false, how: `${stage}${accepted.detail}` };
  }
  return { attack, isRefused: true, how: [...new Set(outcomes.map(({ detail }) => detail))].join(", ") };
}

/** The right identity with another secret. */
function wrongKey({ identity, secret }: { readonly identity: string; readonly secret: string }): ConnectionOptions {
  const psk = createHash("sha256").update(`not ${secret}`).digest();
  return { pskCallback: () => ({ psk, identity }), ciphers: SHARED_KEY_CIPHERS };
}
