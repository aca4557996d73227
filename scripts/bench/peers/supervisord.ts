import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isAlive, killQuietly, type Lab } from "../lab.ts";
import type { Peer } from "./peer.ts";

const STOP_MS = 20_000;

export function createSupervisord(version: string, lab: Lab): Peer {
  const home = join(lab.directory, "supervisord");
  const configPath = join(home, "supervisord.conf");
  const pidPath = join(home, "supervisord.pid");
  let daemon = -1;

  const startDaemon = async () => {
    rmSync(pidPath, { force: true });
    daemon = lab.spawn("supervisord", ["-n", "-c", configPath]).pid ?? -1;
    await lab.until(() => readText(pidPath)?.trim() === String(daemon), "supervisord writes its pid");
  };
  const end = async (signal: NodeJS.Signals) => {
    killQuietly(daemon, signal);
    await lab.until(() => !isAlive(lab.table, daemon), `supervisord ends with ${signal}`, { timeoutMs: STOP_MS });
  };

  return {
    name: `supervisord ${version}`,
    start: async (program, count) => {
      mkdirSync(home, { recursive: true });
      writeFileSync(configPath, configOf({ home, pidPath, program, count }));
      await startDaemon();
    },
    daemonPid: () => daemon,
    killDaemon: () => end("SIGKILL"),
    startAgain: startDaemon,
    stop: () => end("SIGTERM"),
  };
}

/** Its defaults, but for the places of its files and a restart whatever the exit was. */
function configOf(options: { home: string; pidPath: string; program: string; count: number }): string {
  const { home, pidPath, program, count } = options;
  return [
    "[supervisord]",
    `logfile=${join(home, "supervisord.log")}`,
    `pidfile=${pidPath}`,
    `childlogdir=${home}`,
    `directory=${home}`,
    "[program:program]",
    `command=${program}`,
    "process_name=program-%(process_num)d",
    `numprocs=${count}`,
    "autorestart=true",
    "",
  ].join("\n");
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
