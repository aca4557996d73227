import type { IncomingMessage } from "node:http";
import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import type { Service } from "../../base/service.ts";
import type { LogCommandArgs, LogRecord } from "../../contract/fleet/log-line.ts";
import type { EventSink } from "../events/event-sink.ts";
import { encodeBeat, encodeEvent } from "../events/frame.ts";
import type { Presence } from "../life/presence.ts";
import type { Store } from "../store/store.ts";
import { createRecordReader } from "./record-reader.ts";

export type LogWish = Omit<LogCommandArgs, "stream" | "url">;

/**
 * Joins a reader of a box's logs with the box's upload. Nothing is kept: what the reader does not take makes the box wait, and a
 * reader that goes away ends the upload.
 */
export interface LogStreams extends Service {
  /**
   * Asks the box to upload, and opens the reader's end; answers the stream. `unavailable`: the box is not there; `exhausted`: too many read already.
   * The reader hears `end` with the reason when nothing more comes.
   */
  open(boxId: string, wish: LogWish, reader: EventSink): Promise<string>;
  /** The reader is gone. */
  leave(stream: string): void;
  /** Pipes an upload to its reader until one of them ends. `not-found`: nobody reads it (any more); `conflict`: it has an upload. */
  upload(from: { readonly boxId: string; readonly stream: string; readonly request: IncomingMessage }): Promise<void>;
  count(): number;
}

export interface LogStreamsOptions {
  readonly beatMs: number;
  /** Address of this hub for boxes. */
  readonly advertisedUrl: () => string | undefined;
}

export interface LogStreamsDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly presence: Presence;
  readonly newSecret: () => string;
}

interface OpenStream {
  readonly boxId: string;
  readonly reader: EventSink;
  readonly life: AbortController;
  /** The reader's headers are sent: the box may be faster than the store's answer. */
  readonly ready: Promise<void>;
  upload: IncomingMessage | undefined;
  onRoom: () => void;
}

type StreamEnd = Omit<Extract<LogRecord, { readonly type: "end" }>, "type">;

const ANSWER_MS = 20_000;
const LOOK_MS = 1000;
const STREAMS = { aHub: 256, aBox: 8 } as const;
/** Bytes that may wait for a reader before the box is made to wait. */
const WAITING_BYTES = 128 * 1024;
/** A reader that takes nothing for so long is taken to be gone. */
const STUCK_MS = 30_000;

export function createLogStreams(options: LogStreamsOptions, deps: LogStreamsDeps): LogStreams {
  const { store, clock, presence } = deps;
  const streams = new Map<string, OpenStream>();
  const beat = Buffer.from(encodeBeat(options.beatMs));

  const close = (id: string, end: StreamEnd) => {
    const stream = streams.get(id);
    if (stream === undefined) return;
    streams.delete(id);
    send(stream.reader, { type: "end", ...end });
    stream.reader.close("end");
    stream.life.abort(new AppError("cancelled", end.reason));
  };

  const requireRoom = (boxId: string) => {
    const ofBox = [...streams.values()].filter((stream) => stream.boxId === boxId).length;
    if (streams.size >= STREAMS.aHub || ofBox >= STREAMS.aBox) {
      throw new AppError("exhausted", `logs: ${STREAMS.aBox} readers a box and ${STREAMS.aHub} a hub are allowed`);
    }
    const { connection } = presence.of(boxId);
    if (connection === "offline" || connection === "never") {
      throw new AppError("unavailable", `box ${boxId} is ${connection === "never" ? "not yet known" : "offline"}`);
    }
  };

  const refusalOf = async (id: string, boxId: string) => {
    // A store that is away tells nothing: the upload may come all the same.
    const commands = await store.commands.list(boxId, clock.wallMs()).catch(() => []);
    const command = commands.find((one) => one.id === id);
    return command?.state === "failed" ? (command.answer ?? "the box refused") : undefined;
  };

  /** Until the upload comes: the box may refuse, be slow, or never hear of it. */
  const awaitUpload = async (id: string, stream: OpenStream) => {
    for (let waitedMs = 0; waitedMs < ANSWER_MS; waitedMs += LOOK_MS) {
      await clock.delay(LOOK_MS, stream.life.signal);
      if (stream.upload !== undefined) return;
      const refusal = await refusalOf(id, stream.boxId);
      if (refusal !== undefined) return close(id, { reason: refusal, failed: true });
    }
    if (stream.upload === undefined) {
      close(id, { reason: `the box sent nothing within ${ANSWER_MS / 1000} s`, failed: true });
    }
  };

  /** Reads on when the reader has taken what waits; `stuck` when it never does. */
  const waitForRoom = async (stream: OpenStream) => {
    const waited = new AbortController();
    const room = new Promise<"room">((resolve) => {
      stream.onRoom = () => resolve("room");
    });
    const stuck = clock.delay(STUCK_MS, AbortSignal.any([waited.signal, stream.life.signal])).then(
      () => "stuck" as const,
      () => "over" as const,
    );
    if (stream.reader.waitingBytes() <= WAITING_BYTES) stream.onRoom();
    const outcome = await Promise.race([room, stuck]);
    waited.abort();
    return outcome;
  };

  const pipe = async (id: string, stream: OpenStream, request: IncomingMessage): Promise<StreamEnd> => {
    const reader = createRecordReader();
    for await (const chunk of request) {
      for (const record of reader.push(Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk)))) {
        if (record.type === "end") return { reason: record.reason };
        send(stream.reader, record);
      }
      // While this waits nothing is read, and TCP makes the box wait.
      if (stream.reader.waitingBytes() > WAITING_BYTES && (await waitForRoom(stream)) === "stuck") {
        stream.reader.close("cut");
        return { reason: "the reader takes nothing", failed: true };
      }
      if (!streams.has(id)) return { reason: "the reader is gone", failed: true };
    }
    for (const record of reader.end()) {
      if (record.type === "end") return { reason: record.reason };
      send(stream.reader, record);
    }
    return { reason: "the box has sent all" };
  };

  return {
    name: "log streams",
    count: () => streams.size,
    open: async (boxId, wish, reader) => {
      requireRoom(boxId);
      const id = deps.newSecret();
      const { promise: ready, resolve: isReady } = Promise.withResolvers<void>();
      const stream: OpenStream = {
        boxId,
        reader,
        life: new AbortController(),
        ready,
        upload: undefined,
        onRoom: () => undefined,
      };
      streams.set(id, stream);
      reader.onDrain(() => stream.onRoom());
      const base = options.advertisedUrl();
      const url = base === undefined ? {} : { url: new URL(`/v1/boxes/${boxId}/log-streams/${id}`, base).href };
      const nowMs = clock.wallMs();
      try {
        const args = { stream: id, ...url, ...wish };
        await store.commands.create(boxId, { id, name: "logs", args, deadlineMs: nowMs + ANSWER_MS }, { nowMs });
      } catch (thrown) {
        streams.delete(id);
        throw thrown;
      }
      reader.open();
      isReady();
      // Ends with the rejection of its signal, and has no other way to fail.
      awaitUpload(id, stream).catch(() => undefined);
      return id;
    },
    leave: (id) => {
      const stream = streams.get(id);
      streams.delete(id);
      stream?.life.abort(new AppError("cancelled", "the reader is gone"));
    },
    upload: async ({ boxId, stream: id, request }) => {
      const stream = streams.get(id);
      if (stream === undefined || stream.boxId !== boxId) {
        throw new AppError("not-found", "nobody reads this log stream (any more)", { field: "stream" });
      }
      if (stream.upload !== undefined) throw new AppError("conflict", "this log stream is being uploaded already");
      stream.upload = request;
      const stop = () => void request.destroy();
      stream.life.signal.addEventListener("abort", stop, { once: true });
      let end: StreamEnd = { reason: "the upload broke off", failed: true };
      try {
        await stream.ready;
        end = await pipe(id, stream, request);
      } catch (thrown) {
        if (streams.has(id)) send(stream.reader, { type: "gap", reason: end.reason });
        if (!streams.has(id)) throw new AppError("not-found", "the reader is gone", { cause: thrown });
      } finally {
        stream.life.signal.removeEventListener("abort", stop);
        close(id, end);
      }
    },
    run: async (signal) => {
      presence.onChange(({ boxId, to }) => {
        if (to !== "offline") return;
        for (const [id, stream] of streams)
          if (stream.boxId === boxId) close(id, { reason: "the box is offline", failed: true });
      });
      try {
        for (;;) {
          await clock.delay(options.beatMs, signal);
          for (const { reader } of streams.values()) if (reader.waitingBytes() === 0) reader.send(beat);
        }
      } catch (thrown) {
        if (!signal.aborted) throw thrown;
      } finally {
        for (const id of streams.keys()) close(id, { reason: "the hub stops", failed: true });
      }
    },
  };
}

function send(reader: EventSink, record: LogRecord): void {
  const { type, ...data } = record;
  reader.send(Buffer.from(encodeEvent({ event: type, data: JSON.stringify(data) })));
}
