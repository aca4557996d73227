import type { ConnectionOptions } from "node:tls";
import type { TunnelSpec } from "../../../contract/tunnel-spec.ts";
import { probeRaw } from "./raw-probe.ts";
import { DEFAULT_MIN_TLS } from "./stunnel-config.ts";
import { type ProbeDeps, probeTls, type TlsOutcome } from "./tls-probe.ts";
import { reachable } from "./tunnel-attacks.ts";
import { sha256Of } from "./tunnel-keys.ts";

export interface HandshakeRequest {
  readonly spec: TunnelSpec;
  /** Which leg. */
  readonly leg: number;
  /** Own key and certificate in PEM; absent with shared keys. */
  readonly own: string | undefined;
  /** The whole proof comes next. */
  readonly isGlance?: boolean;
}

/** How far the consumer's end came, opening a connection of its own to the producer's gateway. */
export interface Handshake {
  /** The peer is the pinned one, or has the shared key; and it has not turned us away. */
  readonly isTrusted: boolean;
  readonly protocol?: string;
  readonly cipher?: string;
  /** SHA-256 of the certificate that the peer showed, or the identity of the key. */
  readonly peer?: string;
  /** From the first packet until the handshake was complete. */
  readonly latencyMs?: number;
  /** What is wrong, where anything is. */
  readonly reason?: string;
}

/** How far a connection to the own entry point came: through both ends to the source. */
export interface Passage {
  /** A byte of the source's came, or the connection was kept by a source that waits for the first word. */
  readonly through?: "byte" | "handshake";
  /** Nobody listens on the entry point. */
  readonly isClosed: boolean;
  readonly reason?: string;
}

const LIMIT_MS = 5000;
/** After the handshake a peer that does not want us says so within half a round trip, a source that is away within one more; on busy boxes later. */
const HOLD_MS = 200;
/** The same, where a whole proof that holds longer comes next: it is only spared where it would fail. */
const GLANCE_MS = 80;
const HOLD_HANDSHAKES = 2;

/** Shakes hands with the peer, with this end's own key, and sends nothing. Rejects only with the signal's reason. */
export async function shakeHands(
  { spec, leg, own, isGlance = false }: HandshakeRequest,
  deps: ProbeDeps,
): Promise<Handshake> {
  const connect = spec.legs[leg]?.connect;
  if (connect === undefined) return { isTrusted: false, reason: `there is no leg ${leg}` };
  const options: ConnectionOptions = {
    host: connect.host,
    port: connect.port,
    minVersion: `TLSv${spec.minTls ?? DEFAULT_MIN_TLS}`,
    ...identity(spec, own),
  };
  const outcome = await probeTls(
    { options, limitMs: LIMIT_MS, afterShakenMs: (tookMs) => holdFor(tookMs, isGlance ? GLANCE_MS : HOLD_MS) },
    deps,
  );
  const seen = {
    ...(outcome.protocol === undefined ? {} : { protocol: outcome.protocol }),
    ...(outcome.cipher === undefined ? {} : { cipher: outcome.cipher }),
    ...peerOf(spec, outcome),
    ...(outcome.shakenMs === undefined ? {} : { latencyMs: outcome.shakenMs }),
  };
  const reason = whyUntrusted(spec, outcome);
  if (reason === undefined) return { ...seen, isTrusted: true };
  return { ...seen, isTrusted: false, reason: `${connect.host}:${connect.port}: ${reason}` };
}

/** Goes in at an entry point like any application, and says nothing. Rejects only with the signal's reason. */
export async function passThrough(
  { spec, leg, handshakeMs }: { readonly spec: TunnelSpec; readonly leg: number; readonly handshakeMs: number },
  deps: ProbeDeps,
): Promise<Passage> {
  const listen = spec.legs[leg]?.listen;
  if (listen === undefined) return { isClosed: true, reason: `there is no leg ${leg}` };
  const limitMs = Math.min(LIMIT_MS, holdFor(handshakeMs) + handshakeMs);
  const isEnough = (received: Buffer) => received.length > 0;
  const outcome = await probeRaw({ ...reachable(listen), bytes: Buffer.alloc(0), limitMs, isEnough }, deps);
  const entry = `${listen.address}:${listen.port}`;
  switch (outcome.end) {
    case "enough":
      return { isClosed: false, through: "byte" };
    case "open":
      return { isClosed: false, through: "handshake" };
    case "closed":
      return {
        isClosed: false,
        reason: `a connection to ${entry} is ended at once: nothing takes it behind the tunnel`,
      };
    case "unreachable":
      return { isClosed: true, reason: `nothing takes connections on ${entry} (${outcome.detail})` };
  }
}

function holdFor(handshakeMs: number, leastMs = HOLD_MS): number {
  return leastMs + HOLD_HANDSHAKES * handshakeMs;
}

/** OpenSSL takes a key and a certificate out of the same text. */
function identity({ security }: TunnelSpec, own: string | undefined): ConnectionOptions {
  if (security.kind === "cert") return own === undefined ? {} : { key: own, cert: own };
  const [first] = security.keys;
  if (first === undefined) return {};
  const psk = Buffer.from(first.secret, "hex");
  return {
    pskCallback: () => ({ psk, identity: first.identity }),
    ciphers: "ECDHE-PSK-CHACHA20-POLY1305:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256",
  };
}

function peerOf({ security }: TunnelSpec, { isShaken, peerSha256 }: TlsOutcome): { readonly peer?: string } {
  if (peerSha256 !== undefined) return { peer: peerSha256 };
  const [first] = security.kind === "psk" ? security.keys : [];
  return isShaken && first !== undefined ? { peer: first.identity } : {};
}

function whyUntrusted({ security }: TunnelSpec, outcome: TlsOutcome): string | undefined {
  const { isShaken, peerSha256, end, detail } = outcome;
  if (!isShaken) return `no handshake with the peer (${detail})`;
  if (security.kind === "psk" && peerSha256 !== undefined) {
    return `the peer shows certificate ${peerSha256} in place of the shared key`;
  }
  if (security.kind === "cert") {
    const pins = security.peerCertificates.map(sha256Of);
    if (peerSha256 === undefined || !pins.includes(peerSha256)) {
      return `the peer shows certificate ${peerSha256 ?? "none"}, pinned is ${pins.join(" or ") || "none"}`;
    }
  }
  // TLS 1.3: the server judges us only now.
  return end === "alert" ? `the peer refuses this end (${detail})` : undefined;
}
