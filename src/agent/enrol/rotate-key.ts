import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import type { HttpFetch } from "../../base/http-fetch.ts";
import { boxAddress } from "../../contract/hub-address.ts";
import type { IdentityFile } from "../registry/identity-file.ts";
import { hashOf } from "./enrol-box.ts";
import { askHub } from "./hub-request.ts";

export interface RotateDeps {
  readonly file: IdentityFile;
  readonly fetch: HttpFetch;
  readonly clock: Clock;
  /** 256 bits, base64url. */
  readonly newKey: () => string;
  /** Must keep it out of every log from now on. */
  readonly addSecret: (secret: string) => void;
}

/**
 * Changes the box's key: the hub learns the next one's hash, it is written down, it is used (by which the hub forgets the old
 * one), and the old one is dropped here too. Cut off anywhere and called again it ends the same way, because at every moment a
 * key that the hub takes is on disk. Rejects with what went wrong; then what was in force still is, or the next call finishes it.
 */
export async function rotateKey(
  where: { readonly hub: string; readonly boxId: string },
  deps: RotateDeps,
  signal: AbortSignal,
): Promise<void> {
  const { file, clock } = deps;
  const { current } = file.current();
  if (current === undefined) throw new AppError("conflict", "this box is not enrolled: it has no key to change");
  const layDown = (key: string, next: string) =>
    askHub(
      {
        method: "PUT",
        url: boxAddress(where.hub, where.boxId, "key"),
        key,
        body: { keyHash: hashOf(next) },
        signal,
      },
      deps,
    );

  const next = current.nextKey ?? deps.newKey();
  deps.addSecret(next);
  if (current.nextKey === undefined) {
    await layDown(current.key, next);
    // Before it is used: once it has been, the old key opens nothing.
    await file.save({ current: { ...current, nextKey: next } });
  }
  try {
    await layDown(next, next);
  } catch (thrown) {
    if (!(thrown instanceof AppError) || thrown.code !== "unauthorized") throw thrown;
    // A hub that came back from a backup has never heard of it.
    await layDown(current.key, next);
    await layDown(next, next);
  }
  const { nextKey: _, ...kept } = current;
  await file.save({ current: { ...kept, key: next, keySinceMs: clock.wallMs() } });
}
