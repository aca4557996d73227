/** A stream of Node, or one that is written like it. */
export interface TurnBatchTarget {
  cork(): void;
  uncork(): void;
  write(bytes: Uint8Array, onTaken?: () => void): boolean;
}

/**
 * Writes to a stream that leave together at the end of the event loop's turn: what comes in pieces of 16 KiB costs one call to the
 * kernel instead of one for each. `onTaken` is called for the first write of a turn, when all of that turn have been taken.
 */
export function createTurnBatch(target: TurnBatchTarget, onTaken?: () => void): (bytes: Uint8Array) => void {
  let isHeld = false;
  const release = () => {
    isHeld = false;
    target.uncork();
  };
  return (bytes) => {
    if (isHeld) {
      target.write(bytes);
      return;
    }
    isHeld = true;
    target.cork();
    target.write(bytes, onTaken);
    setImmediate(release);
  };
}
