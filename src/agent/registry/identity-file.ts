import { join } from "node:path";
import { z } from "zod";
import { loadDocument, replaceFile } from "../../base/atomic-file.ts";
import type { Clock } from "../../base/clock.ts";
import { type DocumentFormat, formatDocument } from "../../base/document.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { boxIdSchema } from "../../contract/identifier.ts";

const FORMAT: DocumentFormat = { format: "sluice.identity", version: 1, minReader: 1 };
const KEY = z.string().regex(/^[A-Za-z0-9_-]{43}$/);

const hubIdentitySchema = z.object({
  /** The hub's base address. */
  hub: z.url({ protocol: /^https?$/ }),
  boxId: boxIdSchema,
  /** 256 bits, base64url. */
  key: KEY,
  /** Wall time. */
  keySinceMs: z.number(),
  /** Laid down at the hub, and perhaps in use there already: the hub takes it for good when it is first used. */
  nextKey: KEY.optional(),
  /** SHA-256 of the token that it came by, as hex. */
  tokenHash: z.string(),
  /** The hub's own authority, PEM, as the token named it by its fingerprint. */
  ca: z.string().max(65_536).optional(),
});
/** Who this box is to a hub. */
export type HubIdentity = z.output<typeof hubIdentitySchema>;

const identitySchema = z.object({
  /** In force. */
  current: hubIdentitySchema.optional(),
  /** Asked for; whether the hub took it is not known. */
  pending: hubIdentitySchema.optional(),
});
export type Identity = z.output<typeof identitySchema>;

/** `identity.json`, mode 0600, the only place where a box's key is. */
export interface IdentityFile {
  current(): Identity;
  /** Resolves when it is durable; rejects with `storage`, and then nothing has changed. One at a time. */
  save(identity: Identity): Promise<void>;
}

export interface IdentityFileDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** `replaceFile`, unless a test breaks the disk. */
  readonly replace?: typeof replaceFile;
}

/** Never throws: an identity that cannot be read is none, and is put aside under a name that says so. */
export function openIdentityFile(stateDir: string, deps: IdentityFileDeps): IdentityFile {
  const path = join(stateDir, "identity.json");
  const parsed = identitySchema.safeParse(loadDocument(path, FORMAT, deps).data ?? {});
  if (!parsed.success) deps.log.error("identity.json does not hold an identity: this box has to enrol again");
  let identity: Identity = parsed.data ?? {};
  return {
    current: () => identity,
    save: async (next) => {
      try {
        const savedAt = new Date(deps.clock.wallMs()).toISOString();
        // No earlier generation: it would hold a key that opens nothing any more, or worse, one that does.
        await (deps.replace ?? replaceFile)(path, formatDocument(FORMAT, JSON.stringify(next), savedAt), false);
      } catch (cause) {
        throw new AppError("storage", `identity.json cannot be written: ${messageOf(cause)}`, { cause });
      }
      identity = next;
    },
  };
}
