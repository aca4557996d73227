import type { Box } from "../store/box.ts";

/**
 * What a connected box may have:
 * - `serve`: its set and its commands;
 * - `hold`: a connection with nothing on it. What it runs stays as it is;
 * - `cut`: no connection.
 */
export type Standing =
  | { readonly kind: "serve" }
  | { readonly kind: "hold"; readonly reason: "pending" | "quarantined" }
  | { readonly kind: "cut"; readonly reason: string };

/** Pure. `keyHash`: of the key that opened the connection. */
export function standingOf(box: Box | undefined, keyHash: string): Standing {
  if (box === undefined) return { kind: "cut", reason: "the box was forgotten" };
  if (box.state === "revoked") return { kind: "cut", reason: "the box was revoked" };
  if (box.key.hash !== keyHash && box.nextKey?.hash !== keyHash) {
    return { kind: "cut", reason: "the key that opened the connection is no longer the box's" };
  }
  if (box.state === "pending") return { kind: "hold", reason: "pending" };
  return box.quarantine === undefined ? { kind: "serve" } : { kind: "hold", reason: "quarantined" };
}
