import { hash, timingSafeEqual } from "node:crypto";

/** SHA-256 as hex. Secrets here have 256 bits of chance, so nothing slower is needed to keep them from being guessed. */
export function hashSecret(secret: string): string {
  return hash("sha256", secret);
}

/** Whether two hashes are equal, in a time that does not depend on where they differ. */
export function isSameHash(one: string, other: string): boolean {
  const left = Buffer.from(one, "hex");
  const right = Buffer.from(other, "hex");
  return left.length === 32 && left.length === right.length && timingSafeEqual(left, right);
}

/** What tokens of people begin with, so that a leaked one is recognized for what it is. */
export const OPERATOR_TOKEN_PREFIX = "slo_";
export const ENROLMENT_TOKEN_PREFIX = "sle_";
