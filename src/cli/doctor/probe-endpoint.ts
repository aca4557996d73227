import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { rootCertificates } from "node:tls";
import type { Clock } from "../../base/clock.ts";
import { AppError, errnoOf, messageOf } from "../../base/errors.ts";
import type { ClientCertificate } from "../../base/http-fetch.ts";

export interface EndpointRequest {
  readonly url: string;
  readonly token: string | undefined;
  /** More certificate authorities, PEM. */
  readonly ca: string | undefined;
  /** What the box shows of itself. */
  readonly certificate?: ClientCertificate | undefined;
  readonly timeoutMs: number;
}

/** How far one request for the event stream came. Stages follow each other; the first that failed ends it. */
export interface EndpointProbe {
  /** Undefined for an address that needs no look-up. */
  readonly address: string | undefined;
  readonly failedAt: "dns" | "tcp" | "tls" | "http" | undefined;
  /** `ECONNREFUSED`, `CERT_HAS_EXPIRED`, … with the message. */
  readonly error: string | undefined;
  readonly errorCode: string | undefined;
  readonly answer: EndpointAnswer | undefined;
}

export interface EndpointAnswer {
  readonly status: number;
  readonly contentType: string | undefined;
  readonly location: string | undefined;
  /** Wall time of the server by its `Date` header, milliseconds; its resolution is a second. */
  readonly serverMs: number | undefined;
}

/** Asks for the event stream as the agent would, and hangs up when the headers are there. Never rejects. */
export async function probeEndpoint(
  endpoint: EndpointRequest,
  deps: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<EndpointProbe> {
  const url = new URL(endpoint.url);
  const seen = { address: undefined as string | undefined, isConnected: false, isSecure: url.protocol === "http:" };
  const stop = new AbortController();
  const timer = deps.clock.timer(endpoint.timeoutMs, () =>
    stop.abort(new AppError("timeout", `no answer within ${endpoint.timeoutMs / 1000} s`)),
  );
  try {
    const answer = await dial(url, endpoint, {
      signal: AbortSignal.any([stop.signal, deps.signal]),
      onLookup: (address) => {
        seen.address ??= address;
      },
      onConnect: () => {
        seen.isConnected = true;
      },
      onSecure: () => {
        seen.isSecure = true;
      },
    });
    return { address: seen.address, failedAt: undefined, error: undefined, errorCode: undefined, answer };
  } catch (thrown) {
    const reason = stop.signal.aborted ? stop.signal.reason : thrown;
    const errorCode = errnoOf(thrown);
    const failedAt = seen.isConnected ? (seen.isSecure ? "http" : "tls") : isLookupError(errorCode) ? "dns" : "tcp";
    return { address: seen.address, failedAt, error: describeError(reason), errorCode, answer: undefined };
  } finally {
    timer.clear();
  }
}

interface Dial {
  readonly signal: AbortSignal;
  readonly onLookup: (address: string) => void;
  readonly onConnect: () => void;
  readonly onSecure: () => void;
}

function dial(url: URL, { token, ca, certificate }: EndpointRequest, { signal, ...on }: Dial): Promise<EndpointAnswer> {
  return new Promise((resolve, reject) => {
    const options = {
      agent: false as const,
      signal,
      ...certificate,
      headers: {
        accept: "text/event-stream",
        "cache-control": "no-cache",
        "user-agent": "sluice-doctor",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
    };
    const onAnswer = (response: IncomingMessage) => {
      response.on("error", () => undefined);
      response.destroy();
      resolve(toAnswer(response));
    };
    const request =
      url.protocol === "https:"
        ? httpsRequest(url, { ...options, ...(ca === undefined ? {} : { ca: [...rootCertificates, ca] }) }, onAnswer)
        : httpRequest(url, options, onAnswer);
    request.on("socket", (socket) => {
      socket.on("lookup", (_error, address) => on.onLookup(address));
      socket.on("connect", on.onConnect);
      socket.on("secureConnect", on.onSecure);
    });
    request.on("error", reject);
    request.end();
  });
}

function toAnswer(response: IncomingMessage): EndpointAnswer {
  const { "content-type": contentType, date, location } = response.headers;
  const serverMs = date === undefined ? Number.NaN : Date.parse(date);
  return {
    status: response.statusCode ?? 0,
    contentType,
    location,
    serverMs: Number.isNaN(serverMs) ? undefined : serverMs,
  };
}

function isLookupError(code: string | undefined): boolean {
  return code === "ENOTFOUND" || code === "EAI_AGAIN" || code === "ENODATA";
}

function describeError(thrown: unknown): string {
  // Several addresses were tried: the first failure says enough.
  if (thrown instanceof AggregateError && thrown.errors.length > 0) return messageOf(thrown.errors[0]);
  return messageOf(thrown);
}
