import { mkdir } from "node:fs/promises";
import { replaceFile } from "../../../base/atomic-file.ts";
import { fromSystemError } from "../../../base/system-error.ts";
import type { TunnelSpec } from "../../../contract/tunnel-spec.ts";
import { stunnelConfig } from "./stunnel-config.ts";
import { acceptedCertificates, sharedSecrets } from "./trusted-material.ts";
import type { TunnelFiles } from "./tunnel-files.ts";

/**
 * Lays down all that stunnel reads but its own key, each file whole or not at all, the configuration last: it is what
 * names the others. Rejects with `storage`, `refused` or `internal`.
 */
export async function writeTunnelFiles(spec: TunnelSpec, files: TunnelFiles): Promise<void> {
  try {
    await mkdir(files.directory, { recursive: true, mode: 0o700 });
    await replaceFile(files.peersPath, acceptedCertificates(spec), false);
    if (spec.security.kind === "psk") await replaceFile(files.secretsPath, sharedSecrets(spec), false);
    await replaceFile(files.configPath, stunnelConfig(spec, files), false);
  } catch (thrown) {
    throw fromSystemError(thrown, `cannot write the files of tunnel ${spec.uid} in ${files.directory}`);
  }
}
