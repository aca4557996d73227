/**
 * One call as whoever carries its bytes sees it: a stream of HTTP/2, or a connection that carries one call (`bare-stream.ts`).
 * Events: `data` with bytes, `end` (the other side has said its last, in order), `aborted`, `trailers` with names and values, and
 * `close`, the last one, once.
 */
export interface CallStream {
  readonly aborted: boolean;
  readonly closed: boolean;
  readonly destroyed: boolean;
  /** Why it was reset; 0: it was not, by this side or as far as this side was told. */
  readonly rstCode?: number | undefined;
  readonly readableEnded: boolean;
  readonly writableEnded: boolean;
  /** Bytes that were written and are not taken by the connection. */
  readonly writableLength: number;
  // biome-ignore lint/suspicious/noExplicitAny: events have what they have, as those of Node's streams.
  on(event: string, listener: (...args: any[]) => void): unknown;
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  once(event: string, listener: (...args: any[]) => void): unknown;
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  off(event: string, listener: (...args: any[]) => void): unknown;
  pause(): unknown;
  resume(): unknown;
  /** Given again with the next `data`. */
  unshift(bytes: Uint8Array): void;
  cork(): void;
  uncork(): void;
  write(bytes: Uint8Array, onTaken?: () => void): boolean;
  /** This side has said its last, in order. */
  end(): unknown;
  /** At once; with another code than 0 the other side hears that it broke. */
  close(code?: number): void;
}
