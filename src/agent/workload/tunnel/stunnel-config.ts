import type { TlsVersion, TunnelLeg, TunnelSpec } from "../../../contract/tunnel-spec.ts";
import { ownKeyPath, type TunnelFiles } from "./tunnel-files.ts";

export const DEFAULT_MIN_TLS: TlsVersion = "1.3";
/** TLS 1.3. A shared key is bound to SHA-256, so both begin with what both can use; AES-GCM is the fastest by far. */
const SUITES = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
/** TLS 1.2, forward secret and authenticated encryption only. */
const CERTIFICATE_CIPHERS = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305";
const SHARED_KEY_CIPHERS = "ECDHE-PSK-CHACHA20-POLY1305";
/** Ten years: a quiet stream is not a dead one. The kernel's keep-alive finds those. */
const IDLE_SECONDS = 315_360_000;
/** A dead peer is found in 30 + 6 × 10 s. */
const KEEPALIVE = { idleSeconds: 30, intervalSeconds: 10, count: 6 };

export function legName(index: number): string {
  return `leg${index}`;
}

/**
 * The whole configuration of one end: one service a leg, all alike but for their addresses. Facts of stunnel 5.68:
 * - without `output` and with `foreground = yes` every line comes once, on standard error;
 * - options before the first service are defaults for all of them, and an option in a service adds to it;
 * - `verifyPeer` pins certificates but still judges their dates (`tunnel-keys.ts` chooses them so that it does no harm);
 * - with `PSKsecrets` alone, a TLS 1.3 client believes any server with any certificate: only `verifyPeer` with nobody to
 *   believe makes the shared key the only way in;
 * - on SIGHUP it closes its listeners and opens them again: for some 3 ms nobody can connect, and who is connected stays;
 * - of two pinned certificates with the same name it knows only one.
 */
export function stunnelConfig(spec: TunnelSpec, files: TunnelFiles): string {
  const lines = ["foreground = yes", "syslog = no", "pid =", "debug = notice"];
  for (const [index, leg] of spec.legs.entries()) {
    lines.push("", `[${legName(index)}]`, ...addresses(spec, leg), ...security(spec, files), ...CONNECTION);
  }
  return `${lines.join("\n")}\n`;
}

function addresses({ role }: TunnelSpec, { listen, connect }: TunnelLeg): string[] {
  const isAddress = /^[\d.]+$|:/.test(connect.host);
  return [
    `client = ${role === "consumer" ? "yes" : "no"}`,
    `accept = ${listen.address}:${listen.port}`,
    `connect = ${connect.host}:${connect.port}`,
    // A name may mean another address tomorrow; and one that cannot be resolved must not keep the others from starting.
    `delay = ${isAddress ? "no" : "yes"}`,
  ];
}

function security({ security: how, minTls = DEFAULT_MIN_TLS, role }: TunnelSpec, files: TunnelFiles): string[] {
  const common = [
    `sslVersionMin = TLSv${minTls}`,
    "sslVersionMax = TLSv1.3",
    `ciphersuites = ${SUITES}`,
    "curves = X25519:P-256",
    "securityLevel = 2",
    "sessionResume = no",
    "renegotiation = no",
    "options = NO_TICKET",
    "options = NO_COMPRESSION",
    "options = CIPHER_SERVER_PREFERENCE",
    "verifyPeer = yes",
    "requireCert = yes",
  ];
  if (how.kind === "cert") {
    const own = ownKeyPath(files, how.keyGeneration);
    return [
      ...common,
      `ciphers = ${CERTIFICATE_CIPHERS}`,
      `cert = ${own}`,
      `key = ${own}`,
      `CAfile = ${files.peersPath}`,
    ];
  }
  const [first] = how.keys;
  return [
    ...common,
    `ciphers = ${SHARED_KEY_CIPHERS}`,
    `CAfile = ${files.peersPath}`,
    `PSKsecrets = ${files.secretsPath}`,
    ...(role === "consumer" && first !== undefined ? [`PSKidentity = ${first.identity}`] : []),
  ];
}

const CONNECTION: readonly string[] = [
  "TIMEOUTbusy = 20",
  // 0 would cut off what is still on its way when one side has finished sending.
  "TIMEOUTclose = 60",
  "TIMEOUTconnect = 10",
  `TIMEOUTidle = ${IDLE_SECONDS}`,
  ...["l", "r"].flatMap((side) => [
    `socket = ${side}:TCP_NODELAY=1`,
    `socket = ${side}:SO_KEEPALIVE=1`,
    `socket = ${side}:TCP_KEEPIDLE=${KEEPALIVE.idleSeconds}`,
    `socket = ${side}:TCP_KEEPINTVL=${KEEPALIVE.intervalSeconds}`,
    `socket = ${side}:TCP_KEEPCNT=${KEEPALIVE.count}`,
  ]),
];
