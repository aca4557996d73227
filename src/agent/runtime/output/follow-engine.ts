import type { Clock } from "../../../base/clock.ts";
import { messageOf } from "../../../base/errors.ts";
import type { TokenBucket } from "../../../base/token-bucket.ts";
import { OUTPUT_NAMES, type OutputName } from "../../../contract/fleet/log-line.ts";
import type { EngineEntry, EngineOutput } from "../engine-output.ts";
import { createEntryTrack, type EntryTrack } from "./entry-track.ts";
import type { FollowedOutput } from "./followed-output.ts";
import type { OutputPosition, OutputPositions } from "./output-cursor.ts";
import type { SessionWriter } from "./session-writer.ts";

export interface FollowEngineDeps {
  readonly clock: Clock;
  readonly writer: SessionWriter;
  /** Bytes that the log takes. */
  readonly allowance: TokenBucket;
}

const BATCH_BYTES = 262_144;
/** An engine that is away, or that ended a reading for reasons of its own, is asked again. */
const AGAIN_MS = 1000;
/** What an engine that hangs holds back at a session's end is read when the session runs again, or never. */
const FINISH_LIMIT_MS = 5000;
/** Asked from so much earlier: whether engines begin with this moment or after it, they do not agree. */
const OVERLAP_NS = 1_000_000_000n;

/** Carries what an engine holds of a session's output to its log, across ends of the agent, of the engine and of the session's sleep. */
export function createEngineFollower(
  logPath: string,
  source: EngineOutput,
  { clock, writer, allowance }: FollowEngineDeps,
): FollowedOutput {
  const life = new AbortController();
  const finishing = new AbortController();
  let tracks: Readonly<Record<OutputName, EntryTrack>> | undefined;
  let failure: string | undefined;
  let takenBytes = 0;
  let writing: Promise<void> = Promise.resolve();

  const fail = (thrown: unknown) => {
    failure = messageOf(thrown);
  };
  const positions = (): OutputPositions => {
    const found: Partial<Record<OutputName, OutputPosition>> = {};
    for (const output of OUTPUT_NAMES) {
      const position = tracks?.[output].position(writer.heldBytes(output));
      if (position !== undefined) found[output] = { ...position, isAfterReturn: writer.isAfterReturn(output) };
    }
    return found;
  };
  const commit = (): Promise<void> => {
    writing = writing.then(async () => {
      if (!writer.hasBatch()) return;
      takenBytes = 0;
      await writer.commit(positions());
    });
    return writing;
  };

  const open = async () => {
    const cursor = await writer.open();
    const known = typeof cursor === "string" ? {} : cursor.positions;
    tracks = { stdout: createEntryTrack(known.stdout), stderr: createEntryTrack(known.stderr) };
    if (typeof cursor === "string") await writer.commit(known);
    return tracks;
  };

  const take = ({ output, bytes, timeNs, isFresh }: EngineEntry, track: EntryTrack) => {
    const wanted = track.take(timeNs, bytes.length, isFresh);
    if (wanted.isBroken) writer.tell({ reason: `${output}: the engine does not hold it any more` });
    const rest = bytes.subarray(bytes.length - wanted.bytes);
    if (rest.length === 0) return;
    takenBytes += rest.length;
    if (allowance.left(clock.monotonicMs()) < rest.length) {
      writer.lose(output, rest.length, "more came than the log takes");
      return;
    }
    allowance.spend(rest.length);
    writer.take(output, rest, Number(timeNs / 1_000_000n));
  };

  const readOnce = async () => {
    const known = tracks ?? (await open());
    // Of the one that was heard first all that came since is wanted; the other one leaves out what it has.
    const stdoutNs = known.stdout.startReading();
    const stderrNs = known.stderr.startReading();
    const sinceNs = earlier(stdoutNs, stderrNs) - OVERLAP_NS;
    for await (const entry of source.read(sinceNs > 0n ? sinceNs : 0n, life.signal)) {
      take(entry, known[entry.output]);
      if (takenBytes >= BATCH_BYTES) await commit();
    }
    failure = undefined;
  };

  const follow = async () => {
    while (!life.signal.aborted) {
      const isLast = finishing.signal.aborted;
      await readOnce().catch(fail);
      if (isLast) return;
      await clock.delay(AGAIN_MS, AbortSignal.any([life.signal, finishing.signal])).catch(() => undefined);
    }
  };
  const following = follow();

  const end = async (limitMs: number) => {
    const late = clock.timer(limitMs, () => life.abort());
    if (limitMs === 0) life.abort();
    await following;
    late.clear();
  };

  return {
    logPath,
    lap: () => commit().catch(fail),
    finish: async () => {
      finishing.abort();
      await end(FINISH_LIMIT_MS);
      writer.endLines();
      await commit().catch(() => undefined);
      writer.close();
    },
    close: async () => {
      await end(0);
      await commit().catch(() => undefined);
      writer.close();
    },
    tail: writer.tail,
    lostBytes: writer.lostBytes,
    failure: () => writer.failure() ?? failure,
  };
}

function earlier(one: bigint, other: bigint): bigint {
  if (one < other) return one;
  return other;
}
