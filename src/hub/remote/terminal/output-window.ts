import { TERMINAL_WINDOW_BYTES } from "../../../contract/fleet/remote-terminal.ts";

/** What a terminal has shown and its page has not acknowledged: it is sent again to a page that comes back. */
export interface OutputWindow {
  push(bytes: Uint8Array): void;
  /** False: `received` is not what it can be. */
  acknowledge(received: number): boolean;
  /** From this byte on; `undefined`: it is not there any more, or never was. */
  from(received: number): readonly Uint8Array[] | undefined;
  readonly isFull: boolean;
  readonly total: number;
  readonly unacknowledged: number;
}

export function createOutputWindow(limitBytes: number = TERMINAL_WINDOW_BYTES): OutputWindow {
  let kept: { readonly start: number; readonly bytes: Uint8Array }[] = [];
  let total = 0;
  let acknowledged = 0;
  const isPossible = (received: number) => received >= acknowledged && received <= total;
  return {
    push: (bytes) => {
      kept.push({ start: total, bytes });
      total += bytes.length;
    },
    acknowledge: (received) => {
      // An earlier one may come late.
      if (received <= acknowledged) return true;
      if (!isPossible(received)) return false;
      acknowledged = received;
      const first = kept.findIndex(({ start, bytes }) => start + bytes.length > received);
      kept = first < 0 ? [] : kept.slice(first);
      return true;
    },
    from: (received) => {
      if (!isPossible(received)) return undefined;
      return kept.flatMap(({ start, bytes }) => {
        const skip = Math.max(0, received - start);
        return skip >= bytes.length ? [] : [bytes.subarray(skip)];
      });
    },
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
