import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { createSecureContext, type PeerCertificate, TLSSocket } from "node:tls";
import type { Clock } from "../../base/clock.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Service } from "../../base/service.ts";
import type { HubOptions } from "../../config/hub-options.ts";

/** Certificates of boxes (mutual TLS), beside their keys. */
export interface ClientCertificates extends Service {
  /** PEM. */
  readonly ca: string;
  /** Throws `refused`, with what is wrong, when what this connection showed does not do. */
  check(socket: Socket, address: string): void;
  /** Aborts `control` with the same once it does no longer: a stream lasts for days. The disposer ends the watch. */
  watch(socket: Socket, address: string, control: AbortController): Disposable;
}

interface Watched {
  readonly socket: Socket;
  readonly address: string;
  readonly control: AbortController;
}

export interface ShownCertificate {
  /** Common name; "" when it has none. */
  readonly name: string;
  readonly validToMs: number;
  /** What TLS says against it; undefined: nothing. */
  readonly error: string | undefined;
}

/** An open stream outlives its certificate by this long at the most. */
const SWEEP_MS = 1000;
/** The same refusal of the same address is said once in so long. */
const SAY_AGAIN_MS = 600_000;
const MAX_SAID = 1000;

/** Rejects with `config`. `undefined`: boxes need none. */
export async function loadClientCertificates(
  { tls }: Pick<HubOptions, "tls">,
  deps: { readonly clock: Clock; readonly log: Log },
): Promise<ClientCertificates | undefined> {
  const { clientCaFile: file, clientCertificates: mode = "required" } = tls;
  if (file === undefined) return undefined;
  const ca = await readAuthorities(file);
  const said = new Map<string, number>();
  const judged = new WeakMap<Socket, ShownCertificate | undefined>();
  const watched = new Set<Watched>();

  const problemOf = (socket: Socket, address: string): AppError | undefined => {
    if (!judged.has(socket)) judged.set(socket, shownBy(socket));
    const isRequired = mode === "required";
    const problem = judgeClientCertificate(judged.get(socket), { isRequired, nowMs: deps.clock.wallMs() });
    if (problem === undefined) return undefined;
    const key = `${address} ${problem}`;
    const now = deps.clock.monotonicMs();
    if (now - (said.get(key) ?? Number.NEGATIVE_INFINITY) > SAY_AGAIN_MS) {
      if (said.size >= MAX_SAID) said.clear();
      said.set(key, now);
      deps.log.warn(`A box at ${address} is refused: ${problem}`);
    }
    return new AppError("refused", problem);
  };

  return {
    name: "client certificates",
    ca,
    check(socket, address) {
      const problem = problemOf(socket, address);
      if (problem !== undefined) throw problem;
    },
    watch(socket, address, control) {
      const one: Watched = { socket, address, control };
      watched.add(one);
      return { [Symbol.dispose]: () => void watched.delete(one) };
    },
    run: async (signal) => {
      while (!signal.aborted) {
        await deps.clock.delay(SWEEP_MS, signal).catch(() => undefined);
        for (const one of watched) {
          const problem = problemOf(one.socket, one.address);
          if (problem === undefined) continue;
          watched.delete(one);
          one.control.abort(problem);
        }
      }
    },
  };
}

/** Pure. Why a box with this certificate is not let in. Its end is judged by the hub's clock at each request, not once a connection. */
export function judgeClientCertificate(
  shown: ShownCertificate | undefined,
  { isRequired, nowMs }: { readonly isRequired: boolean; readonly nowMs: number },
): string | undefined {
  if (shown === undefined) {
    return isRequired
      ? "this hub takes boxes with a client certificate only, and none was shown: set link.certFile and link.keyFile on the box"
      : undefined;
  }
  const name = `the client certificate ${JSON.stringify(shown.name)}`;
  const replace = "give the box a new one (link.certFile, link.keyFile)";
  if (shown.validToMs <= nowMs || shown.error === "CERT_HAS_EXPIRED") {
    return `${name} ended at ${new Date(shown.validToMs).toISOString()}: ${replace}`;
  }
  if (shown.error === "CERT_NOT_YET_VALID") return `${name} is not valid yet: look at the clocks, or ${replace}`;
  if (shown.error === "INVALID_PURPOSE")
    return `${name} is not made for clients (extendedKeyUsage clientAuth): ${replace}`;
  if (shown.error !== undefined) {
    return `${name} does not lead to an authority of this hub's tls.clientCaFile (${shown.error}): ${replace}`;
  }
  return undefined;
}

function shownBy(socket: Socket): ShownCertificate | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  const certificate: Partial<PeerCertificate> = socket.getPeerCertificate();
  if (certificate.subject === undefined) return undefined;
  const name = certificate.subject.CN ?? "";
  const reason: unknown = socket.authorizationError;
  return {
    name: (Array.isArray(name) ? name.join(", ") : name).slice(0, 200),
    validToMs: Date.parse(certificate.valid_to ?? ""),
    error: socket.authorized ? undefined : reason instanceof Error ? reason.message : String(reason),
  };
}

async function readAuthorities(path: string): Promise<string> {
  const field = "tls.clientCaFile";
  try {
    const pem = await readFile(path, "utf8");
    if (!pem.includes("-----BEGIN CERTIFICATE-----")) throw new AppError("config", "it holds no certificate");
    createSecureContext({ ca: pem });
    return pem;
  } catch (thrown) {
    throw new AppError("config", `${field}: ${path} cannot be used: ${messageOf(thrown)}; allowed: certificates, PEM`, {
      field,
      cause: thrown,
    });
  }
}
