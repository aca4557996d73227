import type { OutputPosition } from "./output-cursor.ts";

/** Which of an engine's entries of one output were taken, so that a new reading goes on where the last one ended. Pure. */
export interface EntryTrack {
  /** A reading begins. The time of the last entry that was taken, from which it has to begin. */
  startReading(): bigint;
  /**
   * How many bytes of the end of an entry are new. `isBroken`: what was taken last is not there any more. `isFresh`: it is the first of
   * something else, whose times need not be later.
   */
  take(timeNs: bigint, bytes: number, isFresh?: boolean): { readonly bytes: number; readonly isBroken: boolean };
  /** With `heldBytes` at the end that are in no line yet. Undefined while nothing was taken. */
  position(heldBytes: number): Omit<OutputPosition, "isAfterReturn"> | undefined;
}

interface Place {
  timeNs: bigint;
  /** Entries with that time. */
  entries: number;
}

export function createEntryTrack(known: OutputPosition | undefined): EntryTrack {
  /** The last entry of which all is in lines, and how many bytes were taken up to its end. */
  const done: Place & { endBytes: number } = {
    timeNs: BigInt(known?.from ?? "0"),
    entries: known?.entries ?? 0,
    endBytes: -(known?.bytes ?? 0),
  };
  /** The last entry that was taken. */
  const seen: Place = { timeNs: done.timeNs, entries: done.entries };
  /** Bytes behind it that a predecessor took. */
  let aheadBytes = known?.bytes ?? 0;
  const pending: { readonly timeNs: bigint; readonly endBytes: number }[] = [];
  let takenBytes = 0;
  let isCatchingUp = false;
  let met = 0;

  const moveOn = (place: Place, timeNs: bigint) => {
    place.entries = place.timeNs === timeNs ? place.entries + 1 : 1;
    place.timeNs = timeNs;
  };

  return {
    startReading: () => {
      isCatchingUp = seen.timeNs > 0n;
      met = 0;
      return seen.timeNs;
    },
    take: (timeNs, bytes, isFresh = false) => {
      let isBroken = false;
      if (isFresh) {
        isCatchingUp = false;
        aheadBytes = 0;
      }
      if (isCatchingUp) {
        if (timeNs < seen.timeNs) return { bytes: 0, isBroken };
        if (timeNs === seen.timeNs && met < seen.entries) {
          met++;
          return { bytes: 0, isBroken };
        }
        isCatchingUp = false;
        isBroken = met < seen.entries;
      }
      moveOn(seen, timeNs);
      const old = Math.min(aheadBytes, bytes);
      aheadBytes -= old;
      takenBytes += bytes - old;
      pending.push({ timeNs, endBytes: takenBytes });
      return { bytes: bytes - old, isBroken };
    },
    position: (heldBytes) => {
      const inLines = takenBytes - heldBytes;
      for (let next = pending[0]; next !== undefined && next.endBytes <= inLines; next = pending[0]) {
        pending.shift();
        moveOn(done, next.timeNs);
        done.endBytes = next.endBytes;
      }
      if (done.timeNs === 0n && inLines === 0) return undefined;
      return { from: String(done.timeNs), entries: done.entries, bytes: inLines - done.endBytes };
    },
  };
}
