import type { IncomingMessage, ServerResponse } from "node:http";
import type { z } from "zod";
import type { OperatorRole } from "../store/operator-tokens.ts";

/**
 * One route of the API, as data: the server, the OpenAPI page, the table of who may do what and the tests are made of the same
 * list. `handle` gets what was parsed and answers with what is sent; it throws `AppError`s.
 */
export interface Route<Shape extends RouteShape = RouteShape> {
  readonly method: "GET" | "PUT" | "POST" | "PATCH" | "DELETE";
  /** `/v1/boxes/{box}/workloads/{id}`; a parameter `box` in the path of a `box` route must be the caller itself. */
  readonly path: string;
  /**
   * Who may call it. `viewer`, `operator`, `admin`: an operator token of this role or a higher one; `box`: the key of an approved
   * box; `box-any-state`: the key of a box that may still wait for approval; `worker`: the key of an approved box or an operator's
   * token; `router`: a token of that role or an admin's; `public`: anybody.
   */
  readonly access: OperatorRole | "box" | "box-any-state" | "worker" | "public";
  /** One line, for the API page. */
  readonly summary: string;
  readonly params?: Shape["params"];
  readonly query?: Shape["query"];
  readonly body?: Shape["body"];
  /** Nothing that belongs into its path, query or body is a secret: a refusal repeats what was given. */
  readonly hasNoSecrets?: true;
  /** Bytes; 256 KiB when left out. */
  readonly maxBodyBytes?: number;
  readonly answer?: Shape["answer"];
  /** What `handle` gives was made for this answer alone, and there is much of it: it is not held against `answer` once more. */
  readonly isSentAsItIs?: true;
  /**
   * How many requests of its caller do not count against the caller's rate, by what was asked and answered: it was owed them, because
   * without them what it has to do stands still. Nobody may be able to bring this about as often as they like. Left out: all count.
   */
  readonly owed?: (answered: {
    readonly body: Parsed<Shape["body"]>;
    readonly answer: z.input<NonNullable<Shape["answer"]>> | undefined;
  }) => number;
  /** Of a success; 200 when left out, 204 without an answer. */
  readonly status?: number;
  /** Whether `If-Match` is honoured. Left out: a request that has one is refused, because ignoring it would be a lie. */
  readonly conditional?: "optional" | "required";
  /** An answer with a whole `revision` carries it as `ETag` too. Fields that `answer` does not name are left out. */
  readonly handle?: (call: Call<Shape>) => Promise<z.input<NonNullable<Shape["answer"]>> | undefined>;
  /**
   * Writes to the connection itself (event streams, logs), and reads the body itself: `call.body` is `undefined`. Resolves
   * when it is over; it must end when `call.signal` aborts. With `handle` beside it, this is for who accepts
   * `text/event-stream` or does not ask for `application/json`.
   */
  readonly stream?: (call: Call<Shape>, wire: Wire) => Promise<void>;
  /** Media type of what `stream` writes, for the API page; `text/event-stream` when left out. */
  readonly streamType?: string;
}

export interface RouteShape {
  readonly params?: z.ZodObject | undefined;
  readonly query?: z.ZodObject | undefined;
  readonly body?: z.ZodType | undefined;
  readonly answer?: z.ZodType | undefined;
}

export interface Call<Shape extends RouteShape = RouteShape> {
  readonly params: Parsed<Shape["params"]>;
  readonly query: Parsed<Shape["query"]>;
  readonly body: Parsed<Shape["body"]>;
  readonly caller: Caller;
  /** From `Idempotency-Key`, with a hash over method, path and body. */
  readonly request: { readonly id: string; readonly bodyHash: string } | undefined;
  /** From `If-Match: "7"`; `undefined` for `*`. */
  readonly expectedRevision: number | undefined;
  readonly lastEventId: string | undefined;
  readonly address: string;
  /** Where the caller has reached this hub, by its own words: `https://hub.example:8443`. */
  readonly origin: string;
  /** Ends with the connection, with the hub, and within 5 s of the end of the caller's right to it. */
  readonly signal: AbortSignal;
}

type Parsed<Schema> = [Schema] extends [never] ? undefined : Schema extends z.ZodType ? z.output<Schema> : undefined;

export type Caller =
  | { readonly kind: "operator"; readonly tokenId: string; readonly name: string; readonly role: OperatorRole }
  | { readonly kind: "box"; readonly boxId: string; readonly keySlot: "current" | "next" }
  | { readonly kind: "anybody" };

/** The raw connection of a `stream` route, after authentication. */
export interface Wire {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Where the request asks for another protocol: what came after it. */
  readonly upgradeHead?: Buffer | undefined;
}

/** Keeps the schemas of a route together with the types of its handler. */
export function route<
  Params extends z.ZodObject | undefined = undefined,
  Query extends z.ZodObject | undefined = undefined,
  Body extends z.ZodType | undefined = undefined,
  Answer extends z.ZodType | undefined = undefined,
>(definition: Definition<Params, Query, Body, Answer>): Route {
  return definition as unknown as Route;
}

/** Each schema in a place of its own, so that the compiler finds its type there. */
type Definition<Params, Query, Body, Answer> = Omit<
  Route<{
    params: Extract<Params, z.ZodObject>;
    query: Extract<Query, z.ZodObject>;
    body: Extract<Body, z.ZodType>;
    answer: Extract<Answer, z.ZodType>;
  }>,
  "params" | "query" | "body" | "answer"
> & { readonly params?: Params; readonly query?: Query; readonly body?: Body; readonly answer?: Answer };

/** The same routes, of a part of the API in which nobody sends a secret. */
export function withoutSecrets(routes: readonly Route[]): readonly Route[] {
  return routes.map((one) => ({ ...one, hasNoSecrets: true }));
}
