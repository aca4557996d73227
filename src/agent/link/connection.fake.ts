import type { Clock } from "../../base/clock.ts";

/** Fetches handed out in memory: a test says what each connection answers and cuts its body into chunks. */

export function streamOf(
  chunks: readonly Uint8Array[],
  ending: "close" | "open" = "close",
): ReadableStream<Uint8Array> {
  let next = 0;
  return new ReadableStream<Uint8Array>(
    {
      pull: (controller) => {
        const chunk = chunks[next++];
        if (chunk !== undefined) controller.enqueue(chunk);
        else if (ending === "close") controller.close();
        else return new Promise(() => undefined);
        return undefined;
      },
    },
    { highWaterMark: 0 },
  );
}

export function eventStream(body: ReadableStream<Uint8Array>, contentType = "text/event-stream"): Response {
  return new Response(body, { headers: { "content-type": contentType } });
}

/** A connection that a test feeds by hand. */
export interface OpenConnection {
  readonly headers: Headers;
  readonly url: string;
  send(text: string | Uint8Array): void;
  close(): void;
  fail(message: string): void;
}

export interface FakeServer {
  readonly fetch: typeof globalThis.fetch;
  readonly connections: OpenConnection[];
  /** What the next requests get instead of a stream; then streams again. */
  answerNext(...answers: (() => Response | Promise<Response>)[]): void;
  requests(): number;
}

export function createFakeServer(): FakeServer {
  const connections: OpenConnection[] = [];
  const answers: (() => Response | Promise<Response>)[] = [];
  let requests = 0;
  const fetch: typeof globalThis.fetch = async (input, init) => {
    requests++;
    const answer = answers.shift();
    if (answer !== undefined) return untilAborted(Promise.resolve(answer()), init?.signal ?? undefined);
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    const body = new ReadableStream<Uint8Array>({
      start: (given) => {
        controller = given;
      },
    });
    init?.signal?.addEventListener("abort", () => {
      try {
        controller?.error(init.signal?.reason);
      } catch {
        // Closed already.
      }
    });
    connections.push({
      headers: new Headers(init?.headers),
      url: String(input),
      send: (text) => controller?.enqueue(typeof text === "string" ? Buffer.from(text) : text),
      close: () => controller?.close(),
      fail: (message) => controller?.error(new TypeError(message)),
    });
    return eventStream(body);
  };
  return { fetch, connections, answerNext: (...more) => void answers.push(...more), requests: () => requests };
}

function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason));
    promise.then(resolve, reject);
  });
}

/** Delays pass at once and timers never fire: for tests of many connections in a row. */
export function createInstantClock(): Clock & { readonly delaysMs: number[] } {
  const delaysMs: number[] = [];
  let nowMs = 0;
  return {
    delaysMs,
    wallMs: () => nowMs,
    monotonicMs: () => nowMs,
    delay: async (ms, signal) => {
      delaysMs.push(ms);
      nowMs += ms;
      await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
    },
    timer: () => ({ clear: () => undefined }),
  };
}
