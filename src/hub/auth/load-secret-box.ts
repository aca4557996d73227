import { randomBytes } from "node:crypto";
import { link, open, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AppError, errnoOf, messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { syncFile } from "../../base/sync-file.ts";
import type { HubOptions } from "../../config/hub-options.ts";
import { createSecretBox, SECRET_KEY_BYTES, type SecretBox } from "./secret-box.ts";

const field = "secrets.keyFile";

/**
 * With the key that the options name, or with the hub's own, which is made at its first start. `undefined` where hubs share a store
 * and no key is named: one hub's secrets would be closed to the others. Rejects with `config` or `storage`.
 */
export async function loadSecretBox(
  { secrets, store, files }: Pick<HubOptions, "secrets" | "store" | "files">,
  { log }: { readonly log: Log },
): Promise<SecretBox | undefined> {
  const given = secrets?.keyFile;
  if (given !== undefined) return createSecretBox(await readKey(given));
  if (store.kind === "redis") return undefined;
  if (store.kind === "memory") return createSecretBox(randomBytes(SECRET_KEY_BYTES));
  const path = join(files.dataDir, "secrets.key");
  if (await makeKey(path)) log.info(`Made the key that encrypts secrets in the store: ${path}`);
  return createSecretBox(await readKey(path));
}

async function readKey(path: string): Promise<Buffer> {
  const text = await readFile(path, "utf8").catch((thrown: unknown) => {
    throw new AppError("config", `${field}: ${path} cannot be read: ${messageOf(thrown)}`, { field, cause: thrown });
  });
  if (!/^[0-9a-f]{64}$/i.test(text.trim())) {
    throw new AppError(
      "config",
      `${field}: ${path} holds no key; allowed: 64 hexadecimal digits (openssl rand -hex 32)`,
      {
        field,
      },
    );
  }
  return Buffer.from(text.trim(), "hex");
}

/** Whole or not at all, and never in the place of one that is there. */
async function makeKey(path: string): Promise<boolean> {
  const part = `${path}.${randomBytes(6).toString("hex")}.part`;
  try {
    const file = await open(part, "wx", 0o600);
    try {
      await file.writeFile(`${randomBytes(SECRET_KEY_BYTES).toString("hex")}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await link(part, path);
    syncFile(dirname(path));
    return true;
  } catch (thrown) {
    if (errnoOf(thrown) === "EEXIST") return false;
    throw new AppError("storage", `${path} could not be made: ${messageOf(thrown)}`, { cause: thrown });
  } finally {
    await rm(part, { force: true });
  }
}
