import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { AppError } from "../../base/errors.ts";

/** Public X25519 key: base64url of its 32 bytes, as in a JWK (RFC 8037). */
export const REMOTE_KEY_PATTERN = /^[A-Za-z0-9_-]{43}$/;

export function newRemoteKey(): KeyObject {
  return generateKeyPairSync("x25519").privateKey;
}

/** PEM (PKCS #8). */
export function formatRemoteKey(key: KeyObject): string {
  return String(key.export({ type: "pkcs8", format: "pem" }));
}

/** Throws `storage`: what stands there is no key of this kind. */
export function parseRemoteKey(pem: string, path: string): KeyObject {
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === "x25519") return key;
  } catch {
    // As any other text that is none.
  }
  throw new AppError("storage", `${path} holds no X25519 key: remove it, and the next start of the agent makes one`);
}

const publicTexts = new WeakMap<KeyObject, string>();

/** Of a private key, its public one. */
export function publicTextOf(key: KeyObject): string {
  let text = publicTexts.get(key);
  if (text === undefined) {
    text = createPublicKey(key).export({ format: "jwk" }).x ?? "";
    publicTexts.set(key, text);
  }
  return text;
}

/** Throws `invalid`. */
export function toPublicKey(text: string): KeyObject {
  try {
    if (REMOTE_KEY_PATTERN.test(text)) {
      return createPublicKey({ key: { kty: "OKP", crv: "X25519", x: text }, format: "jwk" });
    }
  } catch {
    // As any other text that is none.
  }
  throw new AppError("invalid", "it is no X25519 public key");
}

/** As people compare it, and as ssh writes its own: `SHA256:` and 43 characters of base64. */
export function fingerprintOf(text: string): string {
  const digest = createHash("sha256").update(Buffer.from(text, "base64url")).digest("base64");
  return `SHA256:${digest.replace(/=+$/, "")}`;
}
