import { createHash, createHmac, diffieHellman, hkdfSync, type KeyObject, timingSafeEqual } from "node:crypto";
import { publicTextOf, toPublicKey } from "../contract/remote/remote-key.ts";

/** What both ends know of an attempt without each other: neither can be led to another one's keys. */
export interface AttemptFacts {
  readonly session: string;
  readonly box: string;
  readonly attempt: number;
  readonly isSealed: boolean;
}

/** Public keys, as base64url. */
export interface HandshakePublics {
  /** The one that the hub vouches for. */
  readonly box: string;
  /** Of this carrier alone. Absent: the proof is early. */
  readonly challenge?: string | undefined;
  /** In the ticket. */
  readonly operator: string;
}

/** 32 bytes each. */
export interface HandshakeKeys {
  readonly proof: Uint8Array;
  readonly confirm: Uint8Array;
  readonly toBox: Uint8Array;
  readonly toOperator: Uint8Array;
  /** By which both know each other on a lane. */
  readonly lane: Uint8Array;
}

const NAME = "sluice.remote.2";
const KEY_BYTES = 32;

/** Of the operator's end. Throws where a public key is none, or leads to nothing. */
export function operatorKeys(
  facts: AttemptFacts,
  mine: KeyObject,
  { box, challenge }: Pick<HandshakePublics, "box" | "challenge">,
): HandshakeKeys {
  const theirs = challenge === undefined ? [box] : [challenge, box];
  const shared = theirs.map((text) => diffieHellman({ privateKey: mine, publicKey: toPublicKey(text) }));
  return derive(facts, { box, challenge, operator: publicTextOf(mine) }, shared);
}

/** Of the box's end: `challenge` was made for this carrier alone, so that no two carriers have the same keys. Without it they are for an early proof only. */
export function boxKeys(
  facts: AttemptFacts,
  mine: { readonly box: KeyObject; readonly challenge?: KeyObject | undefined },
  operator: string,
): HandshakeKeys {
  const publicKey = toPublicKey(operator);
  const own = mine.challenge === undefined ? [mine.box] : [mine.challenge, mine.box];
  const shared = own.map((privateKey) => diffieHellman({ privateKey, publicKey }));
  const challenge = mine.challenge === undefined ? undefined : publicTextOf(mine.challenge);
  return derive(facts, { box: publicTextOf(mine.box), challenge, operator }, shared);
}

/** As `frame.proto` says. */
function derive(
  { session, box: id, attempt, isSealed }: AttemptFacts,
  { box, challenge = "", operator }: HandshakePublics,
  shared: readonly Buffer[],
): HandshakeKeys {
  const said = JSON.stringify([NAME, session, id, attempt, isSealed, box, challenge, operator]);
  const salt = createHash("sha256").update(said).digest();
  const bytes = new Uint8Array(hkdfSync("sha256", Buffer.concat(shared), salt, `${NAME} keys`, 5 * KEY_BYTES));
  const part = (index: number) => bytes.subarray(index * KEY_BYTES, (index + 1) * KEY_BYTES);
  return { proof: part(0), confirm: part(1), toBox: part(2), toOperator: part(3), lane: part(4) };
}

export function proofMac({ proof }: HandshakeKeys, ticket: string): Buffer {
  return createHmac("sha256", proof).update(createHash("sha256").update(ticket).digest()).digest();
}

export function confirmMac({ confirm }: HandshakeKeys): Buffer {
  return createHmac("sha256", confirm).update("confirm").digest();
}

export function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}
