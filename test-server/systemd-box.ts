import { type ChildProcess, spawn } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";

/**
 * A throw-away machine with a real systemd as its first process, in about a second: this machine's `/usr` with changes of
 * its own on top (so packages install), an `/etc` and `/var` of its own, a new boot id with every boot, and this machine's
 * network, so that a test server here is reached at 127.0.0.1. Resource limits of units are accepted in it and do nothing.
 */
export interface SystemdBox extends AsyncDisposable {
  /** Its root directory, seen from here. */
  readonly root: string;
  /** Ends well or badly, within a minute. Rejects with `unavailable` while the box is down. */
  run(file: string, ...args: readonly string[]): Promise<BoxResult>;
  /** Standard output of a program that must end well; rejects with what it said otherwise. */
  ok(file: string, ...args: readonly string[]): Promise<string>;
  /** Resolves when systemd has started everything. */
  boot(): Promise<void>;
  /** As an operator does it; resolves when the next boot is done. */
  reboot(): Promise<void>;
  /** Every process in it is gone at once. `boot` brings it back. */
  powerCut(): Promise<void>;
}

export interface BoxResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const DIRECTORIES = [
  "etc/systemd/system",
  "var/lib/dpkg",
  "var/log/journal",
  "root",
  "tmp",
  "opt",
  "srv",
  "home",
  "run",
];
const COPIED = ["passwd", "group", "shadow", "nsswitch.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d"].concat([
  "alternatives",
  "pam.d",
  "login.defs",
  "host.conf",
  "ssl/certs",
  "ssl/openssl.cnf",
]);
const MASKED = ["apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "console-getty.service"];
/** nspawn's exit status when the machine in it asked for a reboot. */
const REBOOT_STATUS = 133;
const BOOT_LIMIT_MS = 60_000;
const RUN_LIMIT_MS = 60_000;
const CAP_SYS_ADMIN = 21n;

/** Why no such box can be had on this machine; undefined when it can. */
export function systemdBoxProblem(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  if (((BigInt(`0x${effective}`) >> CAP_SYS_ADMIN) & 1n) === 0n) return "needs CAP_SYS_ADMIN";
  // In a chroot "/" is no mount, and nspawn cannot make its mounts private.
  if (!/^(?:\S+ ){4}\/ /m.test(readFileSync("/proc/self/mountinfo", "utf8")))
    return "needs a root that is a mount, not a chroot";
  if (!existsSync("/usr/bin/systemd-nspawn")) return "needs systemd-nspawn (Debian: systemd-container)";
  return undefined;
}

export interface SystemdBoxOptions {
  /** Directories of this machine that the box sees and cannot write, each with its place there. */
  readonly shown?: Readonly<Record<string, string>>;
  /** Directories of this machine that the box shares, at the same place. */
  readonly shared?: readonly string[];
}

export async function createSystemdBox({ shown = {}, shared = [] }: SystemdBoxOptions = {}): Promise<SystemdBox> {
  const home = await mkdtemp(join(tmpdir(), "sluice-box-"));
  const root = join(home, "root");
  layOut(root, home);
  let guest: ChildProcess | undefined;
  let leader = 0;

  const start = () => {
    const overlay = (path: string, name: string) => `--overlay=${path}:${join(home, name)}:${path}`;
    const log = openSync(join(home, "console.log"), "a");
    const child = spawn(
      "systemd-nspawn",
      ["--quiet", `--directory=${root}`, overlay("/usr", "usr"), overlay("/var/lib/dpkg", "dpkg")].concat(
        Object.entries(shown).map(([path, place]) => `--bind-ro=${path}:${place}`),
        shared.map((path) => `--bind=${path}`),
        // There is no machine manager to register with, and no unit to leave.
        ["--register=no", "--keep-unit", "--boot", "--console=read-only"],
      ),
      { stdio: ["ignore", log, log], detached: true, env: { ...process.env, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: "1" } },
    );
    guest = child;
    child.once("exit", (code) => {
      if (guest !== child) return;
      guest = undefined;
      if (code === REBOOT_STATUS) start();
    });
  };

  const run: SystemdBox["run"] = (file, ...args) => {
    if (leader === 0) return Promise.reject(new AppError("unavailable", `the box is down: cannot run ${file}`));
    return runProgram("nsenter", ["--target", String(leader), "--all", file, ...args]);
  };

  const untilUp = async (previousLeader: number): Promise<void> => {
    const endMs = systemClock.monotonicMs() + BOOT_LIMIT_MS;
    let last = "";
    while (systemClock.monotonicMs() < endMs) {
      const found = guest?.pid === undefined ? 0 : childOf(guest.pid);
      if (found !== 0 && found !== previousLeader) {
        leader = found;
        last = (await run("systemctl", "is-system-running")).stdout.trim();
        if (last === "running" || last === "degraded") return;
      }
      await systemClock.delay(50);
    }
    const console = readFileSync(join(home, "console.log"), "utf8").slice(-2000);
    throw new AppError("timeout", `the box did not boot within ${BOOT_LIMIT_MS} ms; last: ${last}\n${console}`);
  };

  const powerCut = async () => {
    const child = guest;
    guest = undefined;
    if (child === undefined || leader === 0) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    process.kill(leader, "SIGKILL");
    leader = 0;
    await gone;
  };

  return {
    root,
    run,
    ok: async (file, ...args) => {
      const { code, stdout, stderr } = await run(file, ...args);
      if (code === 0) return stdout;
      throw new AppError("internal", `${file} ${args.join(" ")} exited ${code} in the box: ${stderr}${stdout}`);
    },
    boot: async () => {
      start();
      await untilUp(0);
    },
    reboot: async () => {
      const before = leader;
      await run("systemctl", "reboot");
      await untilUp(before);
    },
    powerCut,
    [Symbol.asyncDispose]: async () => {
      await powerCut();
      await rm(home, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

function layOut(root: string, home: string): void {
  for (const directory of DIRECTORIES) mkdirSync(join(root, directory), { recursive: true });
  for (const directory of ["dev", "proc", "sys", "usr", "mnt"]) mkdirSync(join(root, directory));
  for (const name of ["bin", "sbin", "lib", "lib64"]) symlinkSync(`usr/${name}`, join(root, name));
  for (const name of COPIED) {
    if (!existsSync(join("/etc", name))) continue;
    mkdirSync(dirname(join(root, "etc", name)), { recursive: true });
    cpSync(join("/etc", name), join(root, "etc", name), { recursive: true, verbatimSymlinks: true });
  }
  writeFileSync(join(root, "etc/os-release"), readFileSync("/etc/os-release"));
  writeFileSync(join(root, "etc/hostname"), "box-under-test\n");
  writeFileSync(join(root, "etc/fstab"), "");
  writeFileSync(join(root, "etc/machine-id"), "uninitialized\n");
  for (const unit of MASKED) symlinkSync("/dev/null", join(root, "etc/systemd/system", unit));
  mkdirSync(join(home, "usr/sbin"), { recursive: true });
  mkdirSync(join(home, "dpkg"));
  // A build machine forbids packages to start services; this is a box.
  writeFileSync(join(home, "usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 0\n");
  chmodSync(join(home, "usr/sbin/policy-rc.d"), 0o755);
  // Bounds what a crash loop could write while a test is debugged.
  mkdirSync(join(root, "etc/systemd/journald.conf.d"));
  appendFileSync(join(root, "etc/systemd/journald.conf.d/bound.conf"), "[Journal]\nSystemMaxUse=64M\n");
}

function childOf(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")[0] ?? "");
  } catch {
    return 0;
  }
}

function runProgram(file: string, args: readonly string[]): Promise<BoxResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: RUN_LIMIT_MS,
      killSignal: "SIGKILL",
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
}
