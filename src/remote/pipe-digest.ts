import { createHash } from "node:crypto";
import type { OutputDigest } from "./exit-facts.ts";

/** Counts and hashes what passes through a pipe, so that both ends can compare. */
export interface PipeDigest {
  add(bytes: Uint8Array): void;
  /** Of what has passed until now; more may follow. */
  read(): OutputDigest;
}

export function createPipeDigest(): PipeDigest {
  const hash = createHash("sha256");
  let total = 0;
  return {
    add: (bytes) => {
      hash.update(bytes);
      total += bytes.length;
    },
    read: () => ({ total, sha256: hash.copy().digest() }),
  };
}
