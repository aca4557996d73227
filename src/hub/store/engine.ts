import type { SetNews } from "./set-news.ts";

/**
 * What a store is built on: documents and logs, changed together in one atomic step. Every verb of the store is one
 * pure decision (documents in, outcome out) that an engine carries out; so the verbs are written once, and memory, SQLite
 * and Redis cannot come to disagree about them. Nothing outside this folder sees an engine.
 */
export interface Engine {
  /**
   * Reads the documents, decides, and writes the outcome, as if nothing else happened meanwhile (serializable). `decide`
   * must be pure: it runs again when another hub changed one of the documents between. What it throws ends the verb with
   * nothing written. Rejects with `store-unavailable` when the outcome could not be made durable or is not known.
   */
  transact<const Keys extends readonly DocumentKey<unknown>[], Answer>(
    keys: Keys,
    decide: (documents: Bodies<Keys>) => Outcome<Answer>,
  ): Promise<Answer>;
  /** The documents as they stand together at one moment. */
  read<const Keys extends readonly DocumentKey<unknown>[]>(keys: Keys): Promise<Bodies<Keys>>;
  /** Documents of a collection in the byte order of their ids, from after `after`. Those that come or go meanwhile may be missed. */
  list<Body>(collection: Collection<Body>, range: ListRange): Promise<ListSlice<Body>>;
  /** As `list`, without what the documents hold. */
  listIds(collection: Collection<unknown>, range: ListRange): Promise<IdSlice>;
  /** Entries with a sequence above `after`, oldest first, together with what the log holds at that moment. */
  readLog<Body>(log: Log<Body>, after: number, limit: number): Promise<LogSlice<Body>>;
  /** As `readLog`, newest first, from below `before`. */
  readLogBack<Body>(log: Log<Body>, before: number, limit: number): Promise<readonly LogEntry<Body>[]>;
  /** Deletes documents whose `expiresMs` is not after `nowMs`, at most `limit`; answers how many. */
  expire(nowMs: number, limit: number): Promise<number>;
  /**
   * Calls the listener with each topic that a commit of any process of this store woke, and with `undefined` when topics
   * may have been missed. A hint only: it can come late, twice, or for nothing. News may come with a topic of this process,
   * each once and in the order of the commits; without them the store tells.
   */
  onWake(listener: WakeListener): () => void;
  /** Resolves when the store answers. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** Documents of one kind. The type parameter is a promise of whoever writes them: all are written by this folder. */
export interface Collection<Body> {
  readonly name: string;
  readonly body?: Body;
  /**
   * What of its documents is asked. `presence`: that they are there; they are not parsed, and read as `true`. `head`: what comes before
   * their field `body`, which is the last one and may be long. Left out: all.
   */
  readonly part?: "presence" | "head";
}

export interface DocumentKey<Body> {
  readonly collection: Collection<Body>;
  readonly id: string;
}

export interface Log<Body> {
  readonly name: string;
  readonly body?: Body;
}

export type Bodies<Keys extends readonly DocumentKey<unknown>[]> = {
  readonly [Index in keyof Keys]: Keys[Index] extends DocumentKey<infer Body> ? Body | undefined : never;
};

/** What a verb does. An outcome without any write is only its answer. */
export interface Outcome<Answer> {
  readonly answer: Answer;
  readonly puts?: readonly Put[];
  readonly deletes?: readonly DocumentKey<unknown>[];
  /** Logs that are removed with all they hold, before anything is appended. */
  readonly drops?: readonly Log<unknown>[];
  readonly appends?: readonly Append[];
  /** Topics to wake listeners of, in every process of this store, once it is written. */
  readonly wakes?: readonly Wake[];
  /**
   * `durable` (the default): acknowledged means that it survives what the store is configured to survive. `relaxed`: it
   * survives the death of the hub; the loss of the machine may take back the last seconds. For what a box says again
   * anyway.
   */
  readonly durability?: Durability;
}

/** A topic; or one with what was written, which a listener in the same process may hear too and then need not read. */
export type Wake = string | { readonly topic: string; readonly news: SetNews };

export type WakeListener = (topic: string | undefined, news?: SetNews) => void;

export type Durability = "durable" | "relaxed";

export interface Put {
  readonly key: DocumentKey<unknown>;
  readonly body: unknown;
  /** Wall time in milliseconds after which `expire` may take it. Verbs must still judge it by the time they are given. */
  readonly expiresMs?: number | undefined;
}

export interface Append {
  readonly log: Log<unknown>;
  readonly body: unknown;
  /** Wall time in milliseconds. */
  readonly atMs: number;
  /** Must be above every sequence of the log so far; without it the next one. */
  readonly sequence?: number;
  /** Entries that are kept; older ones go. At least 1. */
  readonly keep: number;
}

export interface ListRange {
  readonly prefix?: string;
  readonly after?: string | undefined;
  readonly limit: number;
}

export interface Listed<Body> {
  readonly id: string;
  readonly body: Body;
}

export interface ListSlice<Body> {
  readonly documents: readonly Listed<Body>[];
  /** Where to go on; `undefined` when nothing followed. */
  readonly next: string | undefined;
}

export interface IdSlice {
  readonly ids: readonly string[];
  readonly next: string | undefined;
}

export interface LogEntry<Body> {
  readonly sequence: number;
  readonly atMs: number;
  readonly body: Body;
}

export interface LogSlice<Body> {
  readonly entries: readonly LogEntry<Body>[];
  /** The oldest sequence that is kept; `last + 1` when nothing is. */
  readonly first: number;
  /** The last sequence that was given out; 0 when none was. */
  readonly last: number;
}

export function collection<Body>(name: string): Collection<Body> {
  return { name };
}

/** The same documents, where it matters only whether one is there. */
export function presenceIn({ name }: Collection<unknown>): Collection<true> {
  return { name, part: "presence" };
}

/** The same documents without their `body`, where they are decided on whatever it is. It is written as their last field. */
export function headsIn<Body extends { readonly body: unknown }>({
  name,
}: Collection<Body>): Collection<Omit<Body, "body">> {
  return { name, part: "head" };
}

/** What of a document's JSON is asked. */
export function parsePart({ part }: Collection<unknown>, json: string): unknown {
  if (part === "presence") return true;
  // Within a text a quote would have a backslash before it: it is the field.
  const body = part === "head" ? json.indexOf(',"body":') : -1;
  return JSON.parse(body === -1 ? json : `${json.slice(0, body)}}`);
}

export function topicOf(wake: Wake): string {
  return typeof wake === "string" ? wake : wake.topic;
}

export function keyOf<Body>(of: Collection<Body>, ...parts: readonly string[]): DocumentKey<Body> {
  return { collection: of, id: parts.join("/") };
}

export function putOf<Body>(key: DocumentKey<Body>, body: Body, expiresMs?: number): Put {
  return expiresMs === undefined ? { key, body } : { key, body, expiresMs };
}
