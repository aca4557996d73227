import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { isAlive, killQuietly, type Lab } from "../lab.ts";
import type { Peer } from "./peer.ts";

const INSTALL_MS = 180_000;

/** Puts pm2 into the directory, from the registry that npm is set to. Gives the path of its command. */
export async function installPm2(directory: string, signal: AbortSignal): Promise<string> {
  mkdirSync(directory, { recursive: true });
  const options = ["--prefix", directory, "--no-audit", "--no-fund", "--no-save", "--loglevel=error"];
  // With the caller's own HOME: npm's settings are there.
  await promisify(execFile)("npm", ["install", ...options, "pm2"], { cwd: directory, timeout: INSTALL_MS, signal });
  return join(directory, "node_modules/pm2/bin/pm2");
}

export function createPm2(command: string, lab: Lab): Peer {
  const home = join(lab.directory, "pm2");
  const pidPath = join(home, "pm2.pid");
  const pm2 = async (...args: string[]) => {
    await lab.run(process.execPath, [command, ...args], { env: { PM2_HOME: home, PM2_DISCRETE_MODE: "true" } });
    // It takes the file away when it ends.
    if (existsSync(pidPath)) daemon = Number(readFileSync(pidPath, "utf8"));
  };
  let daemon = -1;
  const { version } = JSON.parse(readFileSync(join(command, "../../package.json"), "utf8")) as { version: string };

  const killDaemon = async () => {
    killQuietly(daemon, "SIGKILL");
    await lab.until(() => !isAlive(lab.table, daemon), "pm2's daemon ends");
  };

  return {
    name: `pm2 ${version}`,
    start: async (program, count) => {
      mkdirSync(home, { recursive: true });
      const file = join(home, "programs.json");
      const apps = Array.from({ length: count }, (_, index) => ({
        name: `program-${index}`,
        script: program,
        interpreter: "none",
      }));
      writeFileSync(file, JSON.stringify({ apps }));
      await pm2("start", file);
      await pm2("save");
    },
    daemonPid: () => daemon,
    killDaemon,
    startAgain: () => pm2("resurrect"),
    stop: async () => {
      await pm2("kill").catch(() => undefined);
      if (isAlive(lab.table, daemon)) await killDaemon();
    },
  };
}
