import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import type { HttpResponse } from "../../base/http-fetch.ts";

/** How one call to a platform's API is bounded, and what its failures are called. */
export interface HttpBounds {
  readonly clock: Clock;
  /** Until the whole answer, or until its head where it is read as it comes. */
  readonly limitMs: number;
  readonly signal: AbortSignal | undefined;
  /** `GET /_ping`. */
  readonly what: string;
  /** `Docker Engine at /var/run/docker.sock`. */
  readonly place: string;
  /** What it means that there was no answer. */
  readonly toAwayError: (thrown: unknown) => AppError;
}

/** Rejects with an `AppError`, `timeout` after the limit, or with the signal's reason once that has aborted. */
export async function withinBounds<T>(bounds: HttpBounds, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { clock, limitMs, signal, what, place } = bounds;
  const over = new AbortController();
  const late = new AppError("timeout", `${place} did not answer ${what} within ${limitMs / 1000} s`);
  const timer = clock.timer(limitMs, () => over.abort(late));
  try {
    return await work(signal === undefined ? over.signal : AbortSignal.any([signal, over.signal]));
  } catch (thrown) {
    if (signal?.aborted === true) throw signal.reason;
    if (over.signal.aborted) throw late;
    throw thrown instanceof AppError ? thrown : bounds.toAwayError(thrown);
  } finally {
    timer.clear();
  }
}

/** An answer that is read as it comes; the limit is for its head alone. Its bytes end with the signal, or when the reader leaves. */
export async function openPieces(
  bounds: HttpBounds,
  send: (signal: AbortSignal) => Promise<HttpResponse>,
): Promise<AsyncIterable<Uint8Array>> {
  const leave = new AbortController();
  const life = bounds.signal === undefined ? leave.signal : AbortSignal.any([bounds.signal, leave.signal]);
  const response = await withinBounds(bounds, (stop) => {
    stop.addEventListener("abort", () => leave.abort(stop.reason), { once: true });
    return send(life);
  });
  return readPieces(response, bounds, { life, leave });
}

async function* readPieces(
  response: HttpResponse,
  { toAwayError }: HttpBounds,
  { life, leave }: { readonly life: AbortSignal; readonly leave: AbortController },
): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of response.body ?? []) yield piece;
  } catch (thrown) {
    throw life.aborted ? life.reason : toAwayError(thrown);
  } finally {
    leave.abort();
  }
}

/** Lists of thousands of containers are smaller. */
const MAX_ANSWER_BYTES = 32 * 2 ** 20;

export async function readText(response: HttpResponse): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of response.body ?? []) {
    bytes += piece.length;
    if (bytes > MAX_ANSWER_BYTES) throw new AppError("too-large", `an answer of more than ${MAX_ANSWER_BYTES} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}
