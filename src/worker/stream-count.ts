/** 1 Gbit/s. */
const BYTES_A_MS = 125_000;
/** What one connection has under way at the most: so much is left of the 4 MiB that Linux lets a sender keep (`net.ipv4.tcp_wmem`). */
const UNDER_WAY_BYTES = 3_000_000;
/** Of what the configuration allows. */
const MOST = 2;

/**
 * Pure. Pieces of work at a time, each over a connection of its own. The longer the way, the less one connection carries, because it can only
 * have so much under way: over a long one there are as many as fill 1 Gbit/s and one more, which begins while another ends. Not more than
 * that: what does not fit into the way waits in somebody's queue, or is lost.
 */
export function streamsFor(maxStreams: number, roundTripMs: number | undefined): number {
  if (roundTripMs === undefined) return maxStreams;
  const wanted = 1 + Math.ceil((roundTripMs * BYTES_A_MS) / UNDER_WAY_BYTES);
  return Math.min(MOST * maxStreams, Math.max(maxStreams, wanted));
}
