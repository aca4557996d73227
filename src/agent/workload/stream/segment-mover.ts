import type { Clock } from "../../../base/clock.ts";
import { AppError, messageOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { Service } from "../../../base/service.ts";
import { parseDurationMs } from "../../../contract/duration-text.ts";
import type { SegmentCounts } from "../../../contract/local-status.ts";
import { recordingNameMatcher, recordingOf } from "../../../contract/recording-name.ts";
import { toVerifyKey } from "../../../contract/remote/ticket-key.ts";
import { readTimelessToken } from "../../../contract/signed-token.ts";
import type { SegmentMove } from "../../../contract/stream-spec.ts";
import { pathText } from "../../../contract/transfer/path-text.ts";
import { MAX_ASKED_SEGMENTS, type SegmentAnswer, type SegmentAsk } from "../../../contract/transfer/segment-ask.ts";
import { transferReceiptSchema } from "../../../contract/transfer/transfer-receipt.ts";
import type { StreamWorkload } from "../../../contract/workload.ts";
import type { SegmentBook } from "../../registry/segment-book.ts";
import type { Segment, SegmentDisk } from "./segment-disk.ts";
import { createSegmentTally, type SegmentRound } from "./segment-tally.ts";

/** A stream that is wanted. */
export interface MovingStream {
  readonly workload: StreamWorkload;
  /** Every process of it; `undefined`: it does not run. */
  readonly pids: readonly number[] | undefined;
}

/** So long nobody has written to what a stream that does not run has left last: it may be about to go on with it. */
const STOPPED_MS = 60_000;

export interface SegmentMoverDeps {
  readonly boxId: string;
  readonly streams: () => readonly MovingStream[];
  readonly disk: SegmentDisk;
  readonly openBook: () => SegmentBook;
  /** Of the hub. */
  readonly ask: (asked: SegmentAsk, signal: AbortSignal) => Promise<SegmentAnswer>;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Pure. Those that nobody writes to any more: FFmpeg ends a file before it begins the next, so all but the newest, and none that a process
 * of the stream holds open. Of a stream that does not run, `stoppedAtMs` is the time, and all that was not written for long. Oldest first.
 */
export function finishedSegments(
  segments: readonly Segment[],
  open: ReadonlySet<string>,
  stoppedAtMs?: number,
): readonly Segment[] {
  const inOrder = [...segments].sort((one, other) =>
    one.mtimeNs === other.mtimeNs ? (one.name < other.name ? -1 : 1) : one.mtimeNs < other.mtimeNs ? -1 : 1,
  );
  const ended =
    stoppedAtMs === undefined
      ? inOrder.slice(0, -1)
      : inOrder.filter(({ mtimeNs }) => stoppedAtMs - Number(mtimeNs / 1_000_000n) >= STOPPED_MS);
  return ended.filter(({ file }) => !open.has(file));
}

/** Pure. Whether it has stayed for as long as it is to. */
export function mayGo({ mtimeNs }: Pick<Segment, "mtimeNs">, { keepHere }: SegmentMove, wallMs: number): boolean {
  const keepMs = keepHere === undefined ? 0 : (parseDurationMs(keepHere) ?? Number.POSITIVE_INFINITY);
  return wallMs - Number(mtimeNs / 1_000_000n) >= keepMs;
}

export interface SegmentMover extends Service {
  /** `undefined`: no rule moves anything of it, or it was not looked at yet. */
  countsOf(id: string): SegmentCounts | undefined;
}

/**
 * Has the finished files of recordings moved as their rules say. A file is removed here when the hub has shown a receipt for exactly it, the
 * file is still what was moved, and its time here is over; never otherwise.
 */
export function createSegmentMover(options: { readonly intervalMs: number }, deps: SegmentMoverDeps): SegmentMover {
  const { disk, clock, log } = deps;
  const problems = new Map<string, string>();
  let held: SegmentBook | undefined;
  const tally = createSegmentTally((id) => held?.countOf(id) ?? 0);

  const say = (id: string, problem: string | undefined) => {
    if (problem === undefined) problems.delete(id);
    else if (problems.get(id) !== problem) {
      problems.set(id, problem);
      log.warn(`Finished recordings of ${id} stay here for now: ${problem}. Attempts go on`);
    }
  };

  const moveOutput = async (
    { workload, pids }: MovingStream,
    output: { readonly url: string; readonly move: SegmentMove },
    { book, signal, told }: { readonly book: SegmentBook; readonly signal: AbortSignal; readonly told: SegmentRound },
  ): Promise<void> => {
    const recording = recordingOf(output);
    if (recording === undefined || pids?.length === 0) return;
    const found = disk.find(recording.directory, recordingNameMatcher(recording.pattern));
    const isMoved = (segment: Segment) => book.find(segment.path)?.identity === segment.identity;
    // Nothing is to be done with any: nobody's descriptors have to be looked through.
    if (found.every((segment) => isMoved(segment) && !mayGo(segment, output.move, clock.wallMs()))) return;
    const finished =
      pids === undefined
        ? finishedSegments(found, disk.openAnywhere(), clock.wallMs())
        : finishedSegments(found, disk.openFiles(pids));
    for (const segment of finished) {
      if (!isMoved(segment) || !mayGo(segment, output.move, clock.wallMs())) continue;
      disk.remove(segment.path);
      book.forget(segment.path);
    }
    const waiting = finished.filter((segment) => !isMoved(segment) && disk.look(segment.path) !== undefined);
    const asked = waiting.slice(0, MAX_ASKED_SEGMENTS);
    told.waiting += waiting.length;
    if (asked.length === 0) return;
    const { segments, keys } = await deps.ask(
      {
        stream: workload.id,
        output: output.url,
        segments: asked.map(({ name, bytes, mtimeNs }) => ({ name, bytes, mtime_ns: String(mtimeNs) })),
      },
      signal,
    );
    for (const segment of asked) {
      const answer = segments.find(({ name }) => name === segment.name);
      if (answer?.state === "failed") {
        told.problem ??= answer.reason;
        told.waiting--;
        told.failed++;
      }
      if (answer?.state !== "moved") continue;
      // What has changed since it was asked for is another file by now, and is asked for anew.
      if (disk.look(segment.path)?.identity !== segment.identity) continue;
      try {
        requireReceipt(answer, segment, { boxId: deps.boxId, keys });
        await book.add(workload.id, {
          path: segment.path,
          identity: segment.identity,
          requestId: answer.request_id,
        });
        told.waiting--;
        log.info(`${segment.path} has arrived (transfer ${answer.request_id})`);
      } catch (thrown) {
        told.problem ??= `transfer ${answer.request_id}: ${messageOf(thrown)}`;
      }
    }
  };

  const round = async (book: SegmentBook, signal: AbortSignal) => {
    for (const { path } of book.all()) if (disk.look(path) === undefined) book.forget(path);
    const ruled = new Set<string>();
    for (const stream of deps.streams()) {
      const { id, spec } = stream.workload;
      const told: SegmentRound = { waiting: 0, failed: 0, problem: undefined };
      for (const { url, move } of spec.outputs) {
        if (move === undefined) continue;
        ruled.add(id);
        try {
          await moveOutput(stream, { url, move }, { book, signal, told });
        } catch (thrown) {
          if (signal.aborted) return;
          told.problem ??= messageOf(thrown);
        }
      }
      if (!ruled.has(id)) continue;
      tally.told(id, told, clock.wallMs());
      say(id, told.problem);
    }
    tally.keepOnly(ruled);
    book.keepCounts(ruled);
    await book.commit();
  };

  return {
    name: "segment mover",
    countsOf: tally.of,
    run: async (signal) => {
      const book = deps.openBook();
      held = book;
      while (!signal.aborted) {
        await round(book, signal);
        await clock.delay(options.intervalMs, signal).catch((reason: unknown) => {
          if (!signal.aborted) throw reason;
        });
      }
    },
  };
}

/** Throws for anything but the hub's word that this very file has arrived. */
function requireReceipt(
  { request_id: id, receipt }: SegmentAnswer["segments"][number],
  { path, bytes }: Pick<Segment, "path" | "bytes">,
  { boxId, keys }: { readonly boxId: string; readonly keys: SegmentAnswer["keys"] },
): void {
  if (receipt === undefined) throw new AppError("unauthorized", "the hub gives no receipt (secrets.keyFile)");
  const told = readTimelessToken(receipt, transferReceiptSchema, {
    reader: "agent",
    what: "receipt",
    keyOf: (kid) => {
      const key = keys.find((one) => one.kid === kid);
      return key === undefined ? undefined : toVerifyKey(key);
    },
  });
  const isOfIt = told.rid === id && told.source_box === boxId && told.source_path === pathText(Buffer.from(path));
  if (!isOfIt || told.files !== 1 || told.bytes !== bytes) {
    throw new AppError("unauthorized", "the receipt is of something else");
  }
}
