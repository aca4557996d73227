import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { AppError, messageOf } from "../../base/errors.ts";
import type { HubOptions } from "../../config/hub-options.ts";
import { type GeneratedCaDeps, loadGeneratedIdentity } from "./generated-ca.ts";

export interface HubIdentity {
  /** Absent: plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** Of an authority that the hub made itself: who comes for the first time has no other way to know it. */
  readonly caSha256: string | undefined;
}

/** What the hub shows to whoever connects. Rejects with `config` naming the option. */
export async function loadServerIdentity(
  options: Pick<HubOptions, "tls" | "server" | "files">,
  deps: GeneratedCaDeps & { readonly hostname: string },
): Promise<HubIdentity> {
  const { mode, certFile, keyFile } = options.tls;
  if (mode === "off") return { tls: undefined, caSha256: undefined };
  if (mode === "files") {
    const cert = await readOption("tls.certFile", certFile);
    const key = await readOption("tls.keyFile", keyFile);
    try {
      createSecureContext({ cert, key });
    } catch (thrown) {
      const message = `tls.certFile and tls.keyFile: do not make a certificate and its key: ${messageOf(thrown)}`;
      throw new AppError("config", message, { field: "tls.certFile", cause: thrown });
    }
    return { tls: { cert, key }, caSha256: undefined };
  }
  const names = ["localhost", "127.0.0.1", "::1", ...namesOf(options, deps.hostname)];
  const { cert, key, caSha256 } = await loadGeneratedIdentity({ directory: options.files.dataDir, names }, deps);
  return { tls: { cert, key }, caSha256 };
}

function namesOf({ tls, server }: Pick<HubOptions, "tls" | "server">, hostname: string): string[] {
  const isAny = server.host === "0.0.0.0" || server.host === "::";
  const fromUrl = server.publicUrl === undefined ? [] : [new URL(server.publicUrl).hostname.replace(/^\[|\]$/g, "")];
  const isName = /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(hostname);
  return [...tls.names, ...fromUrl, ...(isAny ? [] : [server.host]), ...(isName ? [hostname] : [])];
}

async function readOption(key: string, path: string | undefined): Promise<string> {
  try {
    return await readFile(path ?? "", "utf8");
  } catch (thrown) {
    throw new AppError("config", `${key}: ${path} cannot be read: ${messageOf(thrown)}`, { field: key, cause: thrown });
  }
}
