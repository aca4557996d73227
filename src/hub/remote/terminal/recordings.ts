import { mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../../base/clock.ts";
import { AppError, messageOf } from "../../../base/errors.ts";
import type { RecordingMode } from "../../../contract/fleet/remote-recording.ts";
import { createRecorder, type Recorder, type RecordingFacts } from "./recorder.ts";

export interface RecordingPlace {
  readonly directory: string;
  readonly mode: RecordingMode;
  /** Greatest age; absent: there is none. */
  readonly days?: number | undefined;
}

/** What terminals in browsers have shown, as files of one directory; of one that has shown nothing there is none. The oldest make room. */
export interface Recordings {
  /** `storage`: it cannot be written. */
  begin(facts: RecordingFacts): Promise<Recorder>;
  /** Removes those that are too old. Rejects where the directory cannot be read. */
  prune(): Promise<void>;
}

export interface RecordingLimits {
  readonly fileBytes: number;
  readonly totalBytes: number;
  readonly files: number;
}

export const RECORDING_SUFFIX = ".cast";
const DAY_MS = 24 * 3600 * 1000;
const LIMITS: RecordingLimits = { fileBytes: 64 * 1024 * 1024, totalBytes: 1024 * 1024 * 1024, files: 10_000 };

export function createRecordings(
  directory: string,
  deps: { readonly clock: Clock; readonly limits?: RecordingLimits; readonly days?: number | undefined },
): Recordings {
  const { clock, limits = LIMITS, days } = deps;
  /** Of files that are written at this moment: they are never what makes room. */
  const going = new Set<string>();
  let known: Promise<Map<string, number>> | undefined;
  let total = 0;

  const pathOf = (session: string) => join(directory, `${session}${RECORDING_SUFFIX}`);
  const look = async () => {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const sizes = new Map<string, number>();
    for (const name of await readdir(directory)) {
      if (!name.endsWith(RECORDING_SUFFIX)) continue;
      const size = (await stat(join(directory, name)).catch(() => undefined))?.size ?? 0;
      sizes.set(name.slice(0, -RECORDING_SUFFIX.length), size);
      total += size;
    }
    return sizes;
  };
  const drop = (sizes: Map<string, number>, session: string) => {
    total -= sizes.get(session) ?? 0;
    sizes.delete(session);
    rm(pathOf(session), { force: true }).catch(() => undefined);
  };
  const makeRoom = (sizes: Map<string, number>) => {
    if (total <= limits.totalBytes && sizes.size <= limits.files) return;
    // Names begin with the time, the newest first.
    for (const session of [...sizes.keys()].sort().reverse()) {
      if (total <= limits.totalBytes && sizes.size <= limits.files) return;
      if (going.has(session)) continue;
      drop(sizes, session);
    }
  };

  const load = () => {
    known ??= look().catch((thrown: unknown) => {
      known = undefined;
      total = 0;
      throw thrown;
    });
    return known;
  };

  return {
    prune: async () => {
      if (days === undefined) return;
      const sizes = await load();
      const oldestMs = clock.wallMs() - days * DAY_MS;
      for (const session of [...sizes.keys()]) {
        const file = await stat(pathOf(session)).catch(() => undefined);
        // One that began meanwhile is among them, and younger.
        if (file !== undefined && file.mtimeMs < oldestMs && !going.has(session)) drop(sizes, session);
      }
    },
    begin: async (facts) => {
      const { session } = facts;
      try {
        const sizes = await load();
        const file = await open(pathOf(session), "wx", 0o600);
        going.add(session);
        sizes.set(session, 0);
        makeRoom(sizes);
        const onWritten = (bytes: number) => {
          sizes.set(session, (sizes.get(session) ?? 0) + bytes);
          total += bytes;
          makeRoom(sizes);
          return total <= limits.totalBytes;
        };
        const onClosed = (isEmpty: boolean) => {
          going.delete(session);
          if (isEmpty) drop(sizes, session);
        };
        return createRecorder(file.createWriteStream(), facts, {
          clock,
          maxBytes: limits.fileBytes,
          onWritten,
          onClosed,
        });
      } catch (thrown) {
        throw new AppError("storage", `the recording cannot be written: ${messageOf(thrown)}`, { cause: thrown });
      }
    },
  };
}
