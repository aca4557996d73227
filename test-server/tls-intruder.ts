import { spawn } from "node:child_process";
import { systemClock } from "../src/base/clock.ts";
import type { TlsVersion } from "../src/contract/tunnel-spec.ts";

/** What a client of `openssl s_client` has to show. */
export type Credential =
  | { readonly kind: "none" }
  /** Files in PEM form. */
  | { readonly kind: "cert"; readonly keyPath: string; readonly certificatePath: string }
  | { readonly kind: "psk"; readonly identity: string; readonly secret: string };

export interface Intrusion {
  readonly namespace: string;
  readonly host: string;
  readonly port: number;
  readonly version: TlsVersion;
  readonly credential: Credential;
  /** Sent once the handshake is over; an `echo` source gives it back. */
  readonly text: string;
}

export interface IntrusionResult {
  /** The text came back. */
  readonly isThrough: boolean;
  /** The other side has ended it. */
  readonly isEnded: boolean;
  readonly said: string;
}

const LIMIT_MS = 10_000;

/** Connects as anybody on the wire could who has no more than the credential. */
export async function intrude({
  namespace,
  host,
  port,
  version,
  credential,
  text,
}: Intrusion): Promise<IntrusionResult> {
  const args = ["s_client", "-connect", `${host}:${port}`, version === "1.2" ? "-tls1_2" : "-tls1_3", "-quiet"];
  const child = spawn("ip", ["netns", "exec", namespace, "openssl", ...args, ...shown(credential)]);
  let isEnded = false;
  let said = "";
  let got = "";
  child.stdout.on("data", (bytes) => {
    got += bytes.toString();
  });
  child.stderr.on("data", (bytes) => {
    said += bytes.toString();
  });
  // Refused before all is written.
  child.stdin.on("error", () => undefined);
  const exited = new Promise<void>((done) => {
    child.once("close", () => {
      isEnded = true;
      done();
    });
  });
  child.stdin.write(`${text}\n`);
  const endMs = systemClock.monotonicMs() + LIMIT_MS;
  while (!isEnded && !got.includes(text) && systemClock.monotonicMs() < endMs) await systemClock.delay(10);
  const result = { isThrough: got.includes(text), isEnded, said };
  child.kill("SIGKILL");
  await exited;
  return result;
}

function shown(credential: Credential): readonly string[] {
  switch (credential.kind) {
    case "none":
      return [];
    case "cert":
      return ["-cert", credential.certificatePath, "-key", credential.keyPath];
    case "psk":
      return [
        ...["-psk_identity", credential.identity, "-psk", credential.secret],
        ...["-cipher", "ECDHE-PSK-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256:AES128-SHA"],
      ];
  }
}
