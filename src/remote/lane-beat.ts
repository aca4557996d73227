/** What an end whose bytes go over a lane says on its call: that it lives. */
export const ALIVE: Uint8Array = new Uint8Array(0);
/** And that its session is in use: `seq` 1 and nothing else, which no session sends as a frame. */
export const ACTIVE: Uint8Array = Uint8Array.of(0x08, 0x01);

export function isBeat(pieces: readonly Uint8Array[]): boolean {
  let bytes = 0;
  for (const piece of pieces) bytes += piece.length;
  return bytes <= ACTIVE.length;
}
