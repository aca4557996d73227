import { createHash } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";
import { AppError } from "../../base/errors.ts";
import { ENROL_PATH } from "../../contract/hub-address.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import type { HubContext } from "../hub-context.ts";
import type { ClientCertificates } from "../tls/client-certificates.ts";
import { type Identity, requireAccess } from "./access.ts";
import { toErrorAnswer } from "./error-answer.ts";
import { parseInput } from "./parse-input.ts";
import type { Rate, RateLimiter } from "./rate-limit.ts";
import { parseJsonBody, readBody, tooLarge } from "./read-body.ts";
import { readBearer, readIdempotencyKey, readIfMatch, refuseTokenInUrl } from "./request-headers.ts";
import type { Call, Caller, Route } from "./route.ts";
import { API_HEADERS } from "./security-headers.ts";

export interface ServeDeps {
  readonly context: Pick<HubContext, "clock" | "log" | "life" | "newSecret">;
  readonly authenticator: Authenticator;
  readonly limiter: RateLimiter;
  /** Of boxes. Absent: their keys alone count. */
  readonly clientCertificates?: Pick<ClientCertificates, "check"> | undefined;
  readonly rates: CallRates;
  readonly bodyTimeoutMs: number;
}

export interface CallRates {
  readonly operator: Rate;
  readonly box: Rate;
  /** Of an address: public routes, and tokens that open nothing. */
  readonly address: Rate;
}

const DEFAULT_BODY_BYTES = 256 * 1024;

/** Carries out one request to one route: who is it, may they, what do they ask, and the answer. Nothing is read before it is allowed. */
export function serveRoute(route: Route, deps: ServeDeps) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const life = new AbortController();
    const onClose = () => life.abort(new AppError("cancelled", "the connection ended"));
    request.raw.socket.once("close", onClose);
    for (const [name, value] of Object.entries(API_HEADERS)) reply.raw.setHeader(name, value);
    try {
      refuseTokenInUrl(request.raw.url ?? "");
      const token = readBearer(request.raw.rawHeaders);
      const caller = await identify(token, request.ip, deps);
      deps.limiter.take(...rateOf(caller, route, request.ip, deps.rates));
      requireAccess(route.access, caller, boxParameter(request));
      if (isForBoxes(route)) deps.clientCertificates?.check(request.raw.socket, request.ip);
      const call = await readCall(route, { request, caller, signal: life.signal }, deps);
      if (route.stream !== undefined && wantsStream(route, request)) {
        using watch = deps.authenticator.watch(token, caller);
        const signal = AbortSignal.any([life.signal, watch.signal, deps.context.life]);
        reply.hijack();
        await route.stream({ ...call, signal }, { request: request.raw, response: reply.raw });
        if (!reply.raw.writableEnded) reply.raw.end();
        return;
      }
      const answer = await route.handle?.(call);
      send(reply, route, answer);
    } catch (thrown) {
      sendError(reply, request, { thrown, method: route.method, path: route.path }, deps);
    } finally {
      request.raw.socket.off("close", onClose);
    }
  };
}

/** A token that opens nothing costs its address, not whoever else comes from there with a good one. */
async function identify(token: string | undefined, address: string, deps: ServeDeps): Promise<Identity> {
  try {
    return await deps.authenticator.identify(token);
  } catch (thrown) {
    if (thrown instanceof AppError && thrown.code === "unauthorized") {
      deps.limiter.take(`address/${address}`, deps.rates.address);
    }
    throw thrown;
  }
}

function rateOf(caller: Identity, route: Route, address: string, rates: CallRates): [string, Rate] {
  if (caller.kind === "operator" && route.access !== "public") return [`operator/${caller.tokenId}`, rates.operator];
  if (caller.kind === "box" && route.access !== "public") return [`box/${caller.boxId}`, rates.box];
  return [`address/${address}`, rates.address];
}

/** Also who becomes a box only now has to show a certificate. */
function isForBoxes({ access, path }: Route): boolean {
  return access === "box" || access === "box-any-state" || path === ENROL_PATH;
}

function boxParameter({ params }: FastifyRequest): string | undefined {
  const box: unknown = typeof params === "object" && params !== null && "box" in params ? params.box : undefined;
  return typeof box === "string" ? box : undefined;
}

/** Who may read both gets a stream, unless it asks for the document. */
function wantsStream(route: Route, { headers }: FastifyRequest): boolean {
  if (route.handle === undefined) return true;
  const accepted = headers.accept ?? "";
  return accepted.includes("text/event-stream") || !accepted.includes("application/json");
}

async function readCall(
  route: Route,
  from: { readonly request: FastifyRequest; readonly caller: Identity; readonly signal: AbortSignal },
  deps: ServeDeps,
): Promise<Call> {
  const { request, caller, signal } = from;
  const { rawHeaders, url = "" } = request.raw;
  const params = route.params === undefined ? undefined : parseInput(route.params, request.params, "path");
  const query = route.query === undefined ? undefined : parseInput(route.query, queryOf(url, route), "query");
  const expectedRevision = revisionOf(route, readIfMatch(rawHeaders));
  const key = route.method === "GET" ? undefined : readIdempotencyKey(rawHeaders);
  const raw = route.stream === undefined ? await bodyOf(route, request, deps) : undefined;
  const body =
    route.body === undefined || raw === undefined ? undefined : parseInput(route.body, jsonOf(raw, request), "body");
  const lastEventId = request.headers["last-event-id"];
  const parts = [route.method, url.split("?", 1)[0], expectedRevision ?? "", raw ?? ""];
  return {
    params,
    query,
    body,
    caller: callerOf(caller),
    request: key === undefined ? undefined : { id: key, bodyHash: hashOf(parts) },
    expectedRevision,
    lastEventId: typeof lastEventId === "string" && lastEventId !== "" ? lastEventId.slice(0, 200) : undefined,
    address: request.ip,
    signal,
  } as Call;
}

async function bodyOf(route: Route, request: FastifyRequest, deps: ServeDeps): Promise<Buffer> {
  const maxBytes = route.body === undefined ? 0 : (route.maxBodyBytes ?? DEFAULT_BODY_BYTES);
  if (Number(request.headers["content-length"] ?? 0) > Math.max(maxBytes, 2)) throw tooLarge(maxBytes);
  // Some clients send `{}` with a change that takes no body.
  return readBody(request.raw, { maxBytes: Math.max(maxBytes, 2), timeoutMs: deps.bodyTimeoutMs }, deps.context.clock);
}

function jsonOf(raw: Buffer, request: FastifyRequest): unknown {
  return parseJsonBody(raw, request.headers["content-type"]);
}

function queryOf(url: string, route: Route): Record<string, string> {
  const start = url.indexOf("?");
  const query: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(start < 0 ? "" : url.slice(start + 1))) {
    if (!Object.hasOwn(route.query?.shape ?? {}, name)) {
      const names = Object.keys(route.query?.shape ?? {}).join(", ");
      throw new AppError("invalid", `${name.slice(0, 40)}: is no parameter of this; allowed: ${names}`, {
        field: name.slice(0, 40),
      });
    }
    if (Object.hasOwn(query, name))
      throw new AppError("invalid", `${name}: given twice; allowed: once`, { field: name });
    query[name] = value;
  }
  return query;
}

function revisionOf(route: Route, ifMatch: number | "any" | undefined): number | undefined {
  if (ifMatch !== undefined && route.conditional === undefined) {
    throw new AppError("invalid", "If-Match: given where there is no revision to compare; leave it out", {
      field: "If-Match",
    });
  }
  if (ifMatch === undefined && route.conditional === "required") {
    throw new AppError(
      "invalid",
      'If-Match: given nothing; allowed: the revision that was read, such as "7", or * for whatever is there',
      { field: "If-Match" },
    );
  }
  return ifMatch === "any" ? undefined : ifMatch;
}

function callerOf(identity: Identity): Caller {
  if (identity.kind !== "box") return identity;
  return { kind: "box", boxId: identity.boxId, keySlot: identity.keySlot };
}

function hashOf(parts: readonly (string | number | Buffer | undefined)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(Buffer.isBuffer(part) ? part : `${part ?? ""}\n`);
  return hash.digest("hex");
}

function send(reply: FastifyReply, route: Route, answer: unknown): void {
  if (route.answer === undefined) {
    void reply.code(route.status ?? 204).send();
    return;
  }
  const shown: unknown = route.answer.parse(answer);
  if (typeof shown === "object" && shown !== null && "revision" in shown && Number.isSafeInteger(shown.revision)) {
    void reply.header("etag", `"${String(shown.revision)}"`);
  }
  void reply
    .code(route.status ?? 200)
    .header("content-type", "application/json; charset=utf-8")
    .send(JSON.stringify(shown));
}

/** Also after a stream was taken over: then the answer goes to the connection itself, or the connection is cut. */
export function sendError(
  reply: FastifyReply,
  request: FastifyRequest,
  failed: { readonly thrown: unknown; readonly method: string; readonly path: string },
  { context }: Pick<ServeDeps, "context">,
): void {
  const { error, answer } = toErrorAnswer(failed.thrown);
  if (error.code === "internal") {
    const stack = error.cause instanceof Error ? (error.cause.stack ?? "") : (error.stack ?? "");
    context.log.error(`${failed.method} ${failed.path} failed: ${error.message} ${stack}`);
  }
  const { raw } = reply;
  if (raw.headersSent) {
    raw.destroy();
    return;
  }
  // What is left of the body is not read: the connection cannot be used again.
  const headers = request.raw.complete ? answer.headers : { ...answer.headers, connection: "close" };
  const text = JSON.stringify(answer.body);
  if (reply.sent) {
    raw.writeHead(answer.status, { ...headers, "content-type": "application/json; charset=utf-8" });
    raw.end(text);
    return;
  }
  void reply.code(answer.status).headers(headers).header("content-type", "application/json; charset=utf-8").send(text);
}
