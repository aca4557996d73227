import { readFileSync } from "node:fs";
import { AppError, messageOf } from "../../base/errors.ts";

/** `link.caFile`, PEM, as it is now. Throws `config`, which names it. */
export function readAuthority(caFile: string | undefined): string | undefined {
  if (caFile === undefined) return undefined;
  try {
    return readFileSync(caFile, "utf8");
  } catch (cause) {
    const message = `link.caFile: ${caFile} cannot be used: ${messageOf(cause)}; allowed: PEM certificates`;
    throw new AppError("config", message, { field: "link.caFile", cause });
  }
}
