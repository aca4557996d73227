import { TERMINAL_REPLAY_BYTES, TERMINAL_WINDOW_BYTES } from "../../../contract/fleet/remote-terminal.ts";

/**
 * What a terminal has shown last: what its page has not acknowledged is sent again to a page that comes back, and what it has, as far
 * as it is kept, to one that was loaded anew.
 */
export interface OutputWindow {
  push(bytes: Uint8Array): void;
  /** False: `received` is not what it can be. */
  acknowledge(received: number): boolean;
  /** From this byte on; `undefined`: it is not there any more, or never was. */
  from(received: number): readonly Uint8Array[] | undefined;
  /** All that is kept, of what was acknowledged too, and the byte that it begins with. */
  replay(): { readonly start: number; readonly pieces: readonly Uint8Array[] };
  readonly isFull: boolean;
  readonly total: number;
  readonly unacknowledged: number;
}

export function createOutputWindow(
  limitBytes: number = TERMINAL_WINDOW_BYTES,
  replayBytes: number = TERMINAL_REPLAY_BYTES,
): OutputWindow {
  let kept: { readonly start: number; readonly bytes: Uint8Array }[] = [];
  let total = 0;
  let acknowledged = 0;
  const isPossible = (received: number) => received >= acknowledged && received <= total;
  /** Whole pieces go, and only what was acknowledged. */
  const forget = () => {
    const needed = Math.min(acknowledged, total - replayBytes);
    const first = kept.findIndex(({ start, bytes }) => start + bytes.length > needed);
    kept = first < 0 ? [] : kept.slice(first);
  };
  return {
    push: (bytes) => {
      kept.push({ start: total, bytes });
      total += bytes.length;
      forget();
    },
    acknowledge: (received) => {
      // An earlier one may come late.
      if (received <= acknowledged) return true;
      if (!isPossible(received)) return false;
      acknowledged = received;
      forget();
      return true;
    },
    from: (received) => {
      if (!isPossible(received)) return undefined;
      return kept.flatMap(({ start, bytes }) => {
        const skip = Math.max(0, received - start);
        return skip >= bytes.length ? [] : [bytes.subarray(skip)];
      });
    },
    replay: () => ({ start: kept[0]?.start ?? total, pieces: kept.map(({ bytes }) => bytes) }),
    get isFull() {
      return total - acknowledged >= limitBytes;
    },
    get total() {
      return total;
    },
    get unacknowledged() {
      return total - acknowledged;
    },
  };
}
