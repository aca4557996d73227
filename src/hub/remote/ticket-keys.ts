import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { z } from "zod";
import { AppError, messageOf } from "../../base/errors.ts";
import type { TicketKey } from "../../contract/remote/ticket-key.ts";
import type { HubContext } from "../hub-context.ts";
import { createSheets } from "../sheets.ts";

/**
 * The keys that tickets are signed with, one set for all hubs of a store. Private keys lie there sealed. A new key is told to
 * routers for a while before it signs, and stays known for a while after its last ticket.
 */
export interface TicketKeys {
  /** The key for a ticket now. `unsupported`: this hub has no key to seal them with. */
  signing(): Promise<{ readonly id: string; readonly privateKey: KeyObject }>;
  /** For whoever verifies in this process. As last read. */
  publicKey(id: string): KeyObject | undefined;
  /** All that a ticket may be signed with, the next one included. */
  list(): Promise<readonly TicketKey[]>;
  /** Makes the next key where one is due, forgets old ones, and reads what other hubs have made. */
  refresh(): Promise<void>;
}

export const TICKET_KEYS_KIND = "ticket-keys";
const SHEET = "keys";

export const KEY_TIMES = {
  /** A key signs for so long. */
  signsMs: 30 * 24 * 3_600_000,
  /** A new key is told before it signs: routers ask for keys every few seconds. */
  toldMs: 10 * 60_000,
  /** And it is known after that, for tickets that are under way. */
  keptMs: 10 * 60_000,
} as const;

const keySchema = z.object({
  id: z.string(),
  /** Base64url of the 32 bytes. */
  x: z.string(),
  sealed: z.string(),
  /** Wall time from which it signs. */
  fromMs: z.number(),
});
type StoredKey = z.output<typeof keySchema>;
const sheetSchema = z.object({ keys: z.array(keySchema) });
type Sheet = z.output<typeof sheetSchema>;

export function createTicketKeys(
  context: Pick<HubContext, "store" | "clock" | "random" | "secrets" | "newSecret" | "log">,
): TicketKeys {
  const { clock, secrets, newSecret, log } = context;
  const sheets = createSheets<Sheet>({ kind: TICKET_KEYS_KIND, schema: sheetSchema, empty: { keys: [] } }, context);
  let held: readonly StoredKey[] = [];
  const privateKeys = new Map<string, KeyObject | undefined>();
  const publicKeys = new Map<string, KeyObject>();

  const open = ({ id, sealed }: StoredKey): KeyObject | undefined => {
    if (privateKeys.has(id)) return privateKeys.get(id);
    let opened: KeyObject | undefined;
    try {
      opened = secrets === undefined ? undefined : createPrivateKey(secrets.open(sealed, placeOf(id)));
    } catch (thrown) {
      log.warn(`The ticket key ${id} cannot be read, so another one is made: ${messageOf(thrown)}`);
    }
    privateKeys.set(id, opened);
    return opened;
  };

  const take = (keys: readonly StoredKey[]) => {
    held = keys;
    const ids = new Set(keys.map(({ id }) => id));
    for (const known of [privateKeys, publicKeys]) for (const id of known.keys()) if (!ids.has(id)) known.delete(id);
    for (const key of keys) if (!publicKeys.has(key.id)) publicKeys.set(key.id, createPublicKey(jwkOf(key)));
  };

  const make = (fromMs: number): StoredKey => {
    if (secrets === undefined) {
      throw new AppError(
        "unsupported",
        "remote sessions need a key that encrypts what signs their tickets: set secrets.keyFile, the same on all hubs of the store",
        { field: "secrets.keyFile" },
      );
    }
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const id = newSecret().slice(0, 16);
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    const { x = "" } = publicKey.export({ format: "jwk" });
    return { id, x, sealed: secrets.seal(String(pem), placeOf(id)), fromMs };
  };

  const refresh = async () => {
    const keys = await sheets.edit(SHEET, (sheet) => {
      const next = rotate(sheet.keys, { nowMs: clock.wallMs(), isUsable: (key) => open(key) !== undefined, make });
      const isSame = next.length === sheet.keys.length && next.every((key, index) => key === sheet.keys[index]);
      return { sheet: isSame ? sheet : { keys: [...next] }, answer: next };
    });
    take(keys);
  };

  const current = () => signingKey(held, { nowMs: clock.wallMs(), isUsable: (key) => open(key) !== undefined });

  return {
    signing: async () => {
      if (current() === undefined) await refresh();
      const key = current();
      const privateKey = key === undefined ? undefined : open(key);
      if (key === undefined || privateKey === undefined) throw new AppError("internal", "there is no ticket key");
      return { id: key.id, privateKey };
    },
    publicKey: (id) => publicKeys.get(id),
    list: async () => {
      if (held.length === 0) take((await sheets.get(SHEET)).keys);
      return held.map(jwkFor);
    },
    refresh,
  };
}

interface KeyFacts {
  readonly nowMs: number;
  /** One that was sealed with another key signs nothing here. */
  readonly isUsable: (key: StoredKey) => boolean;
}

/** Pure. The newest that signs already. */
export function signingKey(keys: readonly StoredKey[], { nowMs, isUsable }: KeyFacts): StoredKey | undefined {
  return keys.filter((key) => key.fromMs <= nowMs && isUsable(key)).at(-1);
}

/** The keys that should be: oldest first, the same objects where nothing is due. */
export function rotate(
  keys: readonly StoredKey[],
  { nowMs, isUsable, make }: KeyFacts & { readonly make: (fromMs: number) => StoredKey },
): readonly StoredKey[] {
  // What stopped to sign when its successor began is known until its last tickets are over.
  const kept = keys.filter((_, index) => {
    const successor = keys[index + 1];
    return successor === undefined || successor.fromMs + KEY_TIMES.keptMs > nowMs;
  });
  const usable = kept.filter(isUsable);
  const newest = usable.at(-1);
  // There is none to go on with: this one signs at once.
  if (newest === undefined) return [...kept, make(nowMs)];
  if (newest.fromMs + KEY_TIMES.signsMs - KEY_TIMES.toldMs > nowMs) return kept.length === keys.length ? keys : kept;
  return [...kept, make(nowMs + KEY_TIMES.toldMs)];
}

function placeOf(id: string): string {
  return `ticket-key/${id}`;
}

function jwkOf({ x }: StoredKey) {
  return { key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" } as const;
}

function jwkFor({ id, x }: StoredKey): TicketKey {
  return { kty: "OKP", crv: "Ed25519", x, kid: id, use: "sig", alg: "EdDSA" };
}
