import { EventSource } from "eventsource";
import type { Clock, Timer } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { HttpFetch, HttpResponse } from "../../base/http-fetch.ts";
import { WIRE_EVENT_NAMES } from "../../contract/parse-wire-event.ts";
import type { AttemptEnd } from "./attempt-end.ts";
import { dial } from "./dial.ts";
import { createEventFramer, type FramedItem } from "./event-framer.ts";
import { problemOf, readBoundedText } from "./problem-body.ts";
import { parseRetryAfter } from "./retry-after.ts";
import { beatSecondsOf, silenceLimitMs } from "./silence.ts";

const MAX_PROBLEM_BYTES = 4096;

/** What one connection brought, in the order of its stream. */
export type Arrival =
  /** `data` is empty for names that nobody listens to. */
  | { readonly kind: "event"; readonly name: string; readonly data: string; readonly id: string | undefined }
  | { readonly kind: "oversized"; readonly bytes: number; readonly id: string | undefined }
  | { readonly kind: "cursor"; readonly id: string };

export interface AttemptOptions {
  /** Without userinfo. */
  readonly url: URL;
  readonly lastEventId: string | undefined;
  readonly connectTimeoutMs: number;
  readonly maxEventBytes: number;
  /** What the last connection announced: until this one says otherwise, it is held to the same. */
  readonly beatSeconds?: number | undefined;
}

export interface AttemptDeps {
  readonly fetch: HttpFetch;
  readonly clock: Clock;
  /** Asked once, at the start. A rejection ends the attempt. */
  readonly authorization: () => Promise<string | undefined>;
  readonly onOpen: () => void;
  /** The answer's `Date`, and the monotonic time at which it was asked for. */
  readonly onServerDate?: ((serverMs: number, askedAtMs: number) => void) | undefined;
  readonly onBytes: () => void;
  readonly onRetry: (ms: number) => void;
  readonly onBeat?: ((seconds: number) => void) | undefined;
  readonly onArrival: (arrival: Arrival) => void;
  /** Nothing is read from the connection until it resolves. */
  readonly hasRoom: () => Promise<void>;
}

export interface Attempt {
  /** Settles once, when nothing of the connection is left. Never rejects. */
  readonly ended: Promise<AttemptEnd>;
  /** Ends it now; the first reason wins. */
  end(reason: AttemptEnd): void;
}

/**
 * One dial and the connection it leads to. The SSE client decodes and splits the fields; everything it would decide on
 * (statuses, headers, silence, when to dial again) is decided here, and it is closed before it sees an end.
 */
export function startAttempt(options: AttemptOptions, deps: AttemptDeps): Attempt {
  const { clock } = deps;
  const { promise: ended, resolve } = Promise.withResolvers<AttemptEnd>();
  const abort = new AbortController();
  const framer = createEventFramer({ maxEventBytes: options.maxEventBytes });
  const pending: FramedItem[] = [];
  let isOver = false;
  let idle: Timer | undefined;
  let { beatSeconds } = options;
  let blockId: string | undefined;

  const end = (reason: AttemptEnd) => {
    if (isOver) return;
    isOver = true;
    connecting.clear();
    idle?.clear();
    source.close();
    abort.abort();
    resolve(reason);
  };

  const armIdle = () => {
    idle?.clear();
    const limitMs = silenceLimitMs(beatSeconds);
    if (!isOver) idle = clock.timer(limitMs, () => end({ kind: "silent", limitMs }));
  };

  /** Comments and `retry` count at once, also inside an event that is not complete. */
  const takeFramed = (items: readonly FramedItem[]) => {
    for (const item of items) {
      if (item.kind === "retry") deps.onRetry(item.ms);
      else if (item.kind === "comment") takeComment(item.text);
      else pending.push(item);
    }
  };

  const takeComment = (text: string) => {
    const announced = beatSecondsOf(text);
    if (announced === undefined) return;
    beatSeconds = announced;
    deps.onBeat?.(announced);
  };

  /** The next block for the SSE client; what is none of its business is passed on here, in its place in the stream. */
  const nextBlock = async (reader: ReadableStreamDefaultReader<Uint8Array>): Promise<Uint8Array | undefined> => {
    while (!isOver) {
      const item = pending.shift();
      if (item === undefined) {
        armIdle();
        const { done, value } = await reader.read();
        idle?.clear();
        if (done) return undefined;
        deps.onBytes();
        takeFramed(framer.push(value));
        continue;
      }
      await deps.hasRoom();
      if (isOver) return undefined;
      if (item.kind === "block") {
        if (isListenedTo(item.eventName)) {
          blockId = item.id;
          return item.bytes;
        }
        deps.onArrival({ kind: "event", name: item.eventName, data: "", id: item.id });
      } else if (item.kind === "id") deps.onArrival({ kind: "cursor", id: item.id });
      else if (item.kind === "oversized") deps.onArrival(item);
    }
    return undefined;
  };

  const toBlockStream = (body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> => {
    const reader = body.getReader();
    void ended.then(() => reader.cancel()).catch(() => undefined);
    return new ReadableStream<Uint8Array>(
      {
        // Two layers below strip a byte order mark each; the framer has taken the one that may be there. A first empty
        // line keeps any further one, which is data, away from them.
        start: (controller) => controller.enqueue(Uint8Array.of(0x0a)),
        // With no queue of its own the stream asks for a block only when the one before has been dispatched.
        pull: async (controller) => {
          const block = await nextBlock(reader).catch((thrown: unknown) => {
            end({ kind: "failed", message: messageOf(thrown) });
            return undefined;
          });
          if (block !== undefined) {
            controller.enqueue(block);
            return;
          }
          end({ kind: "ended" });
          controller.close();
        },
      },
      { highWaterMark: 0 },
    );
  };

  const connect = async () => {
    // Not before the next turn: the client calls this from its constructor.
    const authorization = await Promise.resolve().then(deps.authorization);
    const { url, lastEventId } = options;
    const askedAtMs = clock.monotonicMs();
    const response = await dial({ url, authorization, lastEventId, signal: abort.signal }, deps.fetch);
    const serverMs = Date.parse(response.headers.get("date") ?? "");
    if (!Number.isNaN(serverMs)) deps.onServerDate?.(serverMs, askedAtMs);
    const refusal = judge(response, clock.wallMs());
    if (refusal?.kind === "status") end({ ...refusal, problem: await problemIn(response) });
    else if (refusal !== undefined) end(refusal);
    if (isOver) throw abort.signal.reason;
    connecting.clear();
    deps.onOpen();
    return {
      status: response.status,
      url: url.href,
      redirected: false,
      headers: response.headers,
      body: toBlockStream(response.body ?? emptyBody()),
    };
  };

  const connecting = clock.timer(options.connectTimeoutMs, () =>
    end({ kind: "timeout", limitMs: options.connectTimeoutMs }),
  );
  const source = new EventSource(options.url, {
    // Above what the framer lets through, so that this limit of the client's is never met.
    maxBufferSize: options.maxEventBytes * 2,
    fetch: async () => {
      try {
        return await connect();
      } catch (thrown) {
        end({ kind: "failed", message: messageOf(thrown) });
        throw abort.signal.reason;
      }
    },
  });
  for (const name of WIRE_EVENT_NAMES) {
    source.addEventListener(name, (event: MessageEvent) => {
      deps.onArrival({ kind: "event", name, data: String(event.data), id: blockId });
    });
  }
  source.addEventListener("error", (event) => {
    end({ kind: "failed", message: event.message ?? "the SSE client gave up" });
  });

  return { ended, end };
}

function emptyBody(): ReadableStream<Uint8Array> {
  return new ReadableStream({ start: (controller) => controller.close() });
}

function isListenedTo(eventName: string): boolean {
  return eventName === "" || WIRE_EVENT_NAMES.some((name) => name === eventName);
}

/** What a hub says of its refusal. Ends with the attempt's own limit, as the dial does. */
async function problemIn(response: HttpResponse): Promise<string | undefined> {
  if (!/^\s*application\/(?:problem\+)?json\b/i.test(response.headers.get("content-type") ?? "")) return undefined;
  return problemOf(await readBoundedText(response, MAX_PROBLEM_BYTES).catch(() => ""));
}

/** WHATWG: 200 and `text/event-stream`, whatever the parameters; everything else is no event stream. */
function judge(response: HttpResponse, wallMs: number): AttemptEnd | undefined {
  if (response.status !== 200) {
    return { kind: "status", status: response.status, retryAfterMs: parseRetryAfter(response.headers, wallMs) };
  }
  const contentType = response.headers.get("content-type") ?? "";
  if (/^\s*text\/event-stream\s*(?:;|$)/i.test(contentType)) return undefined;
  return { kind: "not-a-stream", contentType };
}
