import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { z } from "zod";
import { AppError } from "../../base/errors.ts";
import type { Rate } from "../../base/token-bucket.ts";
import { ENROL_PATH } from "../../contract/hub-address.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import type { HubContext } from "../hub-context.ts";
import type { ClientCertificates } from "../tls/client-certificates.ts";
import { type Identity, requireAccess } from "./access.ts";
import { toErrorAnswer } from "./error-answer.ts";
import type { OpenStreams } from "./open-streams.ts";
import { parseInput } from "./parse-input.ts";
import type { RateLimiter } from "./rate-limit.ts";
import { parseJsonBody, readBody, tooLarge } from "./read-body.ts";
import { readBearer, readIdempotencyKey, readIfMatch, refuseTokenInUrl } from "./request-headers.ts";
import type { Call, Caller, Route, Wire } from "./route.ts";
import { API_HEADERS } from "./security-headers.ts";

export interface ServeDeps {
  readonly context: Pick<HubContext, "clock" | "log" | "life" | "newSecret">;
  readonly authenticator: Authenticator;
  readonly limiter: RateLimiter;
  /** Of boxes. Absent: their keys alone count. */
  readonly clientCertificates?: Pick<ClientCertificates, "check" | "watch"> | undefined;
  readonly rates: CallRates;
  readonly bodyTimeoutMs: number;
  readonly streams: OpenStreams;
  /** Of requests that ask for another protocol: what came after them. */
  readonly upgradeHeads: WeakMap<IncomingMessage, Buffer>;
}

export interface CallRates {
  readonly operator: Rate;
  readonly box: Rate;
  /** Of a box's transfer worker, but for what it is owed (`Route.owed`), of which it has the more the quicker it is. What it asks takes nothing from its box. */
  readonly worker: Rate;
  /** Of an address: public routes, and tokens that open nothing. */
  readonly address: Rate;
}

const DEFAULT_BODY_BYTES = 256 * 1024;

/** Carries out one request to one route: who is it, may they, what do they ask, and the answer. Nothing is read before it is allowed. */
export function serveRoute(route: Route, deps: ServeDeps) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const life = new AbortController();
    const { socket } = request.raw;
    const onClose = () => life.abort(new AppError("cancelled", "the connection ended"));
    let isHandedOver = false;
    socket.once("close", onClose);
    for (const [name, value] of Object.entries(API_HEADERS)) reply.raw.setHeader(name, value);
    try {
      refuseTokenInUrl(request.raw.url ?? "");
      const token = readBearer(request.raw.rawHeaders);
      const caller = await identify(token, request.ip, deps);
      const [name, rate] = rateOf(caller, route, request.ip, deps.rates);
      deps.limiter.take(name, rate);
      requireAccess(route.access, caller, boxParameter(request));
      if (isForBoxes(route, caller)) deps.clientCertificates?.check(request.raw.socket, request.ip);
      const call = await readCall(route, { request, caller, signal: life.signal }, deps);
      if (route.stream !== undefined && wantsStream(route, request)) {
        const watch = deps.authenticator.watch(token, caller, life);
        const ofBox = isForBoxes(route, caller) ? deps.clientCertificates?.watch(socket, request.ip, life) : undefined;
        deps.streams.add(life);
        reply.hijack();
        isHandedOver = true;
        const onEnd = () => {
          watch[Symbol.dispose]();
          ofBox?.[Symbol.dispose]();
          deps.streams.remove(life);
          socket.off("close", onClose);
        };
        carryStream(route, { call, wire: wireOf(request.raw, reply.raw, deps), onEnd }, deps);
        return;
      }
      const answer = await route.handle?.(call);
      const owed = route.owed?.({ body: call.body, answer }) ?? 0;
      if (owed > 0) deps.limiter.giveBack(name, rate, owed);
      send(reply, route, answer);
    } catch (thrown) {
      sendError(reply, request, { thrown, method: route.method, path: route.path }, deps);
    } finally {
      if (!isHandedOver) socket.off("close", onClose);
    }
  };
}

function wireOf(request: IncomingMessage, response: ServerResponse, { upgradeHeads }: ServeDeps): Wire {
  return { request, response, upgradeHead: upgradeHeads.get(request) };
}

/** A stream lasts for days, and ten thousand are open: it runs apart, so that nothing of how it was asked for is held meanwhile. */
function carryStream(
  route: Route,
  { call, wire, onEnd }: { readonly call: Call; readonly wire: Wire; readonly onEnd: () => void },
  deps: ServeDeps,
): void {
  const { response } = wire;
  const { method, path } = route;
  begin(route, call, wire)
    .then(
      () => {
        if (!response.writableEnded) response.end();
      },
      (thrown: unknown) => answerFailure(response, { thrown, method, path }, deps),
    )
    .finally(onEnd);
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
  if (caller.kind === "box" && route.access === "worker") return [`worker/${caller.boxId}`, rates.worker];
  if (caller.kind === "box" && route.access !== "public") return [`box/${caller.boxId}`, rates.box];
  return [`address/${address}`, rates.address];
}

/** Also who becomes a box only now has to show a certificate. */
function isForBoxes({ access, path }: Route, caller: Identity): boolean {
  if (access === "worker") return caller.kind === "box";
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
  const telling = { isOpen: route.hasNoSecrets === true };
  const parse = <Schema extends z.ZodType>(schema: Schema, input: unknown, whole: string) =>
    parseInput(schema, input, whole, telling);
  const params = route.params === undefined ? undefined : parse(route.params, request.params, "path");
  const query = route.query === undefined ? undefined : parse(route.query, queryOf(url, route), "query");
  const expectedRevision = revisionOf(route, readIfMatch(rawHeaders));
  const key = route.method === "GET" ? undefined : readIdempotencyKey(rawHeaders);
  const raw = route.stream === undefined ? await bodyOf(route, request, deps) : undefined;
  const body =
    route.body === undefined || raw === undefined ? undefined : parse(route.body, jsonOf(raw, request), "body");
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
    origin: `${request.protocol}://${request.host}`,
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
  const shown: unknown = route.isSentAsItIs === true ? answer : route.answer.parse(answer);
  if (typeof shown === "object" && shown !== null && "revision" in shown && Number.isSafeInteger(shown.revision)) {
    void reply.header("etag", `"${String(shown.revision)}"`);
  }
  void reply
    .code(route.status ?? 200)
    .header("content-type", "application/json; charset=utf-8")
    .send(JSON.stringify(shown));
}

/** Rejects also with what is thrown at once. */
function begin({ stream }: Route, call: Call, wire: Wire): Promise<void> {
  return new Promise((resolve) => resolve(stream?.(call, wire)));
}

interface Failed {
  readonly thrown: unknown;
  readonly method: string;
  readonly path: string;
}

/** Before anything was answered. */
export function sendError(
  reply: FastifyReply,
  request: FastifyRequest,
  failed: Failed,
  deps: Pick<ServeDeps, "context">,
): void {
  const { status, headers, text } = failureOf(failed, request.raw.complete, deps);
  if (reply.raw.headersSent) reply.raw.destroy();
  else void reply.code(status).headers(headers).send(text);
}

/** Of a stream: the answer goes to the connection itself, or, where it has begun, the connection is cut. */
function answerFailure(response: ServerResponse, failed: Failed, deps: Pick<ServeDeps, "context">): void {
  const { status, headers, text } = failureOf(failed, response.req.complete, deps);
  if (response.headersSent) response.destroy();
  else response.writeHead(status, headers).end(text);
}

function failureOf({ thrown, method, path }: Failed, isComplete: boolean, { context }: Pick<ServeDeps, "context">) {
  const { error, answer } = toErrorAnswer(thrown);
  if (error.code === "internal") {
    const stack = error.cause instanceof Error ? (error.cause.stack ?? "") : (error.stack ?? "");
    context.log.error(`${method} ${path} failed: ${error.message} ${stack}`);
  }
  // What is left of a body is not read: the connection cannot be used again.
  const rest = isComplete ? {} : { connection: "close" };
  const headers = { ...answer.headers, ...rest, "content-type": "application/json; charset=utf-8" };
  return { status: answer.status, headers, text: JSON.stringify(answer.body) };
}
