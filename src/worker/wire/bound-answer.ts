import type { KeyObject } from "node:crypto";
import { fault } from "../fault.ts";
import { DATA_HEAD_BYTES, FRAME_HEAD_BYTES } from "./frames.ts";
import { tagOf } from "./item-hash.ts";

/**
 * A mark says where in its item a piece lies, and not of which item it is: of two that are as long, one number that changes on its way would give
 * the one the bytes of the other. Where the receiver asks for it, the sender binds each answer to the number of its item: in a pack by the pack's
 * own tag, else by a tag over what is told of it. One of an earlier release does not, and is taken as it is.
 */
const BOND_BYTES = 16;
/** In the half of a mark that a tag leaves free. */
const BOND_AT = DATA_HEAD_BYTES - BOND_BYTES;

/** `frame`: both heads of data of a tagged item, written. */
export function bindDataHead(frame: Buffer, key: KeyObject): void {
  const body = frame.subarray(FRAME_HEAD_BYTES);
  bondOfHead(body, key).copy(body, BOND_AT);
}

/** Takes the bond out of the mark again. Throws `corrupt` where the head is not the one that was bound. */
export function unbindDataHead(body: Buffer, key: KeyObject): void {
  const bond = body.subarray(BOND_AT, DATA_HEAD_BYTES);
  if (bond.every((byte) => byte === 0)) return;
  if (!bondOfHead(body, key).equals(bond)) throw fault("corrupt", "the head of what came over the network was changed");
  bond.fill(0);
}

/** Goes with the word that an item is the same. */
export function bondOfSame(
  { index, sha256 }: { readonly index: number; readonly sha256: string },
  key: KeyObject,
): string {
  return tagOf(Buffer.from(sha256, "latin1"), key, { index, kind: "same" }).toString("hex");
}

function bondOfHead(body: Buffer, key: KeyObject): Buffer {
  return tagOf(body.subarray(0, BOND_AT), key, { index: body.readUInt32BE(0), kind: "head" });
}
