import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { networkNamespaceProblem } from "./network-namespace.ts";

/** Why there can be no tunnels between namespaces on this machine; undefined where there can. */
export function tunnelNetworkProblem(): string | undefined {
  const problem = networkNamespaceProblem();
  if (problem !== undefined) return problem;
  const missing = ["stunnel", "tcpdump", "openssl"].find(
    (name) => !FOLDERS.some((folder) => existsSync(`${folder}/${name}`)),
  );
  if (missing !== undefined) return `no ${missing}`;
  const name = `sluice-try-switch-${process.pid}`;
  try {
    execFileSync("ip", ["netns", "add", name], { stdio: "ignore" });
    execFileSync("ip", ["-n", name, "link", "add", "switch", "type", "bridge"], { stdio: "ignore" });
    return undefined;
  } catch {
    return "no switch between network namespaces to be had";
  } finally {
    execFileSync("ip", ["netns", "del", name], { stdio: "ignore" });
  }
}

const FOLDERS = ["/usr/bin", "/usr/sbin", "/usr/local/bin"];
