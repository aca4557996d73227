import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { AppError, messageOf } from "../../base/errors.ts";
import type { ClientCertificate } from "../../base/http-fetch.ts";
import type { AgentOptions } from "../../config/agent-options.ts";

/**
 * What this box shows to a hub that asks for it. Read for each request, so that a renewed certificate needs no restart;
 * `undefined`: none is configured. Throws `config`, now and in each read, for files that are no certificate and its key.
 */
export function readsClientCertificate({
  certFile,
  keyFile,
}: Pick<AgentOptions["link"], "certFile" | "keyFile">): (() => ClientCertificate) | undefined {
  if (certFile === undefined || keyFile === undefined) return undefined;
  let good: ClientCertificate | undefined;
  const read = () => {
    const now = { cert: readOption("link.certFile", certFile), key: readOption("link.keyFile", keyFile) };
    if (now.cert === good?.cert && now.key === good.key) return good;
    try {
      createSecureContext(now);
    } catch (thrown) {
      throw new AppError(
        "config",
        `link.certFile and link.keyFile: ${certFile} and ${keyFile} do not make a certificate and its key: ${messageOf(thrown)}; allowed: PEM`,
        { field: "link.certFile", cause: thrown },
      );
    }
    good = now;
    return now;
  };
  read();
  return read;
}

function readOption(key: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (thrown) {
    throw new AppError("config", `${key}: ${path} cannot be read: ${messageOf(thrown)}`, { field: key, cause: thrown });
  }
}
