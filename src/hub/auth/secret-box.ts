import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { AppError } from "../../base/errors.ts";

/** Encrypts what the hub must be able to read again, so that a copy of the store alone tells nothing of it. */
export interface SecretBox {
  /** `place` is where it is kept: it opens there and nowhere else. */
  seal(text: string, place: string): string;
  /** Throws `config` when it was sealed with another key, for another place, or is damaged. */
  open(sealed: string, place: string): string;
}

export const SECRET_KEY_BYTES = 32;
const VERSION = "s1";
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** Whether this is a text that a secret box has sealed, with whatever key. Pure. */
export function isSealed(text: string): boolean {
  return text.startsWith(`${VERSION}.`);
}

/** AES-256-GCM with a new IV each time. A sealed text is `s1.<which key>.<base64url of IV, text, tag>`. */
export function createSecretBox(key: Buffer): SecretBox {
  const keyId = createHash("sha256").update("sluice secret key").update(key).digest("hex").slice(0, 12);
  return {
    seal(text, place) {
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv("aes-256-gcm", key, iv).setAAD(Buffer.from(place));
      const body = Buffer.concat([iv, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
      return `${VERSION}.${keyId}.${body.toString("base64url")}`;
    },
    open(sealed, place) {
      const [version, id, body = ""] = sealed.split(".");
      if (version !== VERSION || id !== keyId) {
        throw new AppError(
          "config",
          `a secret was encrypted with the key ${id ?? "?"} and this hub has ${keyId}: give it that key (secrets.keyFile), or set the secret again`,
          { field: "secrets.keyFile" },
        );
      }
      const bytes = Buffer.from(body, "base64url");
      try {
        const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, IV_BYTES), {
          authTagLength: TAG_BYTES,
        });
        decipher.setAAD(Buffer.from(place)).setAuthTag(bytes.subarray(-TAG_BYTES));
        return decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES), undefined, "utf8") + decipher.final("utf8");
      } catch (thrown) {
        throw new AppError("config", `the secret of ${place} in the store is damaged: set it again`, { cause: thrown });
      }
    },
  };
}
