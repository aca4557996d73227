import { createHash } from "node:crypto";
import { AppError, messageOf } from "../../base/errors.ts";
import { MASK } from "../../base/redact.ts";
import type { TunnelWorkload, Workload } from "../../contract/workload.ts";
import { isSealed, type SecretBox } from "../auth/secret-box.ts";
import type { OpenWorkload } from "../events/served-set.ts";
import type { HubContext } from "../hub-context.ts";

/**
 * Keys that both ends of a tunnel hold. In the store, in the tunnel's record and in what its boxes should run, lies the one
 * sealed text of each, so that the same key stays the same; it is opened on its way to a box. 64 hexadecimal digits are a key as
 * it is, of an earlier release or of a hub without a key to seal with.
 */

/** A new key of 256 bits, sealed for its identity. `unsupported`: this hub has no key to seal it with. */
export function newSharedKey(
  { newSecret, secrets }: Pick<HubContext, "newSecret" | "secrets">,
  identity: string,
): string {
  if (secrets === undefined) {
    throw new AppError(
      "unsupported",
      "security: given psk, and this hub has no key to encrypt the shared key with; allowed: cert, or set secrets.keyFile, the same on all hubs of the store",
      { field: "security" },
    );
  }
  return secrets.seal(createHash("sha256").update(newSecret()).digest("hex"), placeOf(identity));
}

/** As it is to be kept. The same text where it is sealed already, or cannot be. */
export function sealSharedKey(secrets: SecretBox | undefined, identity: string, secret: string): string {
  return secrets === undefined || isSealed(secret) ? secret : secrets.seal(secret, placeOf(identity));
}

/**
 * The workload as its box must know it. A key that was sealed with a lost one becomes the mask, which stands for the key that the
 * box holds under that identity; `onLost` hears of it.
 */
export function openSharedKeys(
  workload: Workload,
  {
    secrets,
    onLost,
  }: { readonly secrets: SecretBox | undefined; readonly onLost: (identity: string, why: unknown) => void },
): Workload {
  if (workload.kind !== "tunnel" || workload.spec.security.kind !== "psk") return workload;
  const { security } = workload.spec;
  const open = (identity: string, secret: string): string => {
    if (!isSealed(secret)) return secret;
    try {
      if (secrets === undefined) throw new AppError("config", "this hub has no key: set secrets.keyFile");
      return secrets.open(secret, placeOf(identity));
    } catch (thrown) {
      onLost(identity, thrown);
      return MASK;
    }
  };
  const keys = security.keys.map(({ identity, secret }) => ({ identity, secret: open(identity, secret) }));
  return { ...workload, spec: { ...workload.spec, security: { ...security, keys } } } satisfies TunnelWorkload;
}

/** For all that is sent to boxes. That a key cannot be read is said once. */
export function createWorkloadOpener({ secrets, log }: Pick<HubContext, "secrets" | "log">): OpenWorkload {
  const told = new Set<string>();
  const onLost = (identity: string, why: unknown) => {
    if (told.has(identity)) return;
    told.add(identity);
    log.error(
      `The shared key ${identity} of a tunnel cannot be read, and its boxes keep what they have: ${messageOf(why)}`,
    );
  };
  return (workload) => openSharedKeys(workload, { secrets, onLost });
}

function placeOf(identity: string): string {
  return `tunnel-key/${identity}`;
}
