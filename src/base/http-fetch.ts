import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import { Readable } from "node:stream";
import { createGuardedLookup, type MayReach, requireReachable } from "./guarded-lookup.ts";

/** One request and the head of its answer. What it asks of `init` and gives in an answer, the global `fetch` does too. */
export type HttpFetch = (url: URL, init: HttpRequest) => Promise<HttpResponse>;

export interface HttpRequest {
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly headers: Record<string, string>;
  readonly body?: string;
  /** No answer is followed elsewhere. */
  readonly redirect: "manual";
  /** Ends the request, and the answer's body while it is read. */
  readonly signal: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  readonly ok: boolean;
  readonly headers: HttpHeaders;
  /** Cancelling it closes the connection. */
  readonly body: ReadableStream<Uint8Array> | null;
}

export interface HttpHeaders {
  get(name: string): string | null;
}

export interface HttpTrust {
  /** PEM certificates that a server's must lead to; the system's own authorities when left out. */
  readonly ca?: string | undefined;
  /** Where connections may go; anywhere when left out. With it each request has a connection of its own. */
  readonly mayReach?: MayReach | undefined;
  /** What we show of ourselves to a server that asks for it. Asked for each request; it may throw. */
  readonly certificate?: (() => ClientCertificate) | undefined;
  /** A unix socket on which all requests are made, whatever host they name. With it each has a connection of its own. */
  readonly socketPath?: string | undefined;
  /** How long a connection that carries nothing is kept, if the server lets it; 5 s when left out. */
  readonly idleMs?: number | undefined;
}

/** PEM: a certificate with its chain, and its private key. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
}

export function tlsOf({ ca, certificate }: HttpTrust): { ca?: string; cert?: string; key?: string } {
  return { ...(ca === undefined ? {} : { ca }), ...certificate?.() };
}

/**
 * Over Node's own HTTP: the client behind the global `fetch` holds 10 MB, and ends a body that is silent for 300 s. Rejects with
 * the system's error, or the signal's reason.
 */
export function createHttpFetch(trust: HttpTrust = {}): HttpFetch {
  const { mayReach, socketPath, idleMs } = trust;
  const guard = mayReach === undefined ? {} : { agent: false as const, lookup: createGuardedLookup(mayReach) };
  const socket = socketPath === undefined ? {} : { agent: false as const, socketPath };
  const agents = idleMs === undefined ? undefined : agentsOf(idleMs);
  return (url, { method = "GET", headers, body, signal }) =>
    new Promise((resolve, reject) => {
      if (mayReach !== undefined) requireReachable(url, mayReach);
      const send = url.protocol === "https:" ? requestHttps : requestHttp;
      // Node frames the body of a DELETE only where its length is told.
      const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
      const request = send(
        url,
        { method, headers: { ...headers, ...length }, signal, ...agents?.(url), ...guard, ...socket, ...tlsOf(trust) },
        (message) => {
          const encoding = message.headers["content-encoding"] ?? "identity";
          if (encoding === "identity") return resolve(toResponse(message));
          request.destroy();
          return reject(new TypeError(`the answer is encoded as ${encoding}, which was not asked for`));
        },
      );
      request.on("error", (error) => reject(signal.aborted ? signal.reason : error));
      request.end(body);
    });
}

function agentsOf(idleMs: number): (url: URL) => { readonly agent: HttpAgent } {
  const options = { keepAlive: true, timeout: idleMs };
  const [plain, secure] = [new HttpAgent(options), new HttpsAgent(options)];
  return ({ protocol }) => ({ agent: protocol === "https:" ? secure : plain });
}

/** Trusts the system's authorities. */
export const httpFetch: HttpFetch = createHttpFetch();

function toResponse(message: IncomingMessage): HttpResponse {
  const status = message.statusCode ?? 0;
  return {
    status,
    ok: status >= 200 && status < 300,
    headers: {
      get: (name) => {
        const value = message.headers[name.toLowerCase()];
        return value === undefined ? null : String(value);
      },
    },
    body: Readable.toWeb(message) as ReadableStream<Uint8Array>,
  };
}
