import { createHash } from "node:crypto";
import { canonicalJson } from "../../base/canonical-json.ts";
import type { RemoteOperation } from "./operation.ts";

/** What a ticket says of its operation: SHA-256 as base64url, equal at hub and box for what both parse alike. Pure. */
export function operationDigest(operation: RemoteOperation): string {
  return createHash("sha256").update(canonicalJson(operation)).digest("base64url");
}
