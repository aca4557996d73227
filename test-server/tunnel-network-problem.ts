import { existsSync } from "node:fs";
import { networkNamespaceProblem } from "./network-namespace.ts";

/** Why there can be no tunnels between namespaces on this machine; undefined where there can. */
export function tunnelNetworkProblem(): string | undefined {
  const problem = networkNamespaceProblem();
  if (problem !== undefined) return problem;
  const missing = ["stunnel", "tcpdump", "openssl"].find(
    (name) => !FOLDERS.some((folder) => existsSync(`${folder}/${name}`)),
  );
  return missing === undefined ? undefined : `no ${missing}`;
}

const FOLDERS = ["/usr/bin", "/usr/sbin", "/usr/local/bin"];
