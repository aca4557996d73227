import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../src/base/clock.ts";
import { AppError } from "../../../src/base/errors.ts";
import { freePort } from "../../../test-server/free-port.ts";
import { killQuietly, type Lab } from "../lab.ts";
import type { Place } from "../remote/byte-program.ts";
import { type Site, type SitePair, wordsInside } from "../remote/site-link.ts";

const SSHD = "/usr/sbin/sshd";
/** Where sshd insists on having a directory, when it is started as root. */
const SSHD_DIRECTORY = "/run/sshd";
/** As the hosts are called in the client's configuration. */
export const SSH_BOX = "box";
const SSH_JUMP = "jump";
const START_MS = 15_000;

/** OpenSSH with servers, keys and settings of its own: one at the box, and one near the operator to jump over. */
export interface SshSite extends AsyncDisposable {
  /** Words that run `ssh` with these options near the operator. */
  words(...options: readonly string[]): readonly string[];
  /** Of the servers; each begins one for each connection. */
  readonly serverPids: readonly number[];
  /** `ssh -L`, and over the jump `ssh -J … -L`. */
  forward(to: Place, options: { readonly isJump: boolean }): Promise<SshForward>;
  /** A connection that is kept, for commands that go over it (`ControlMaster`): the words that run one. */
  keepConnection(): Promise<readonly string[]>;
}

export interface SshForward {
  readonly pid: number;
  readonly at: Place;
  stop(): Promise<void>;
}

/** Rejects with `not-found` where there is no sshd. */
export async function startSshSite(name: string, sites: Pick<SitePair, "near" | "box">, lab: Lab): Promise<SshSite> {
  if (!existsSync(SSHD)) throw new AppError("not-found", `there is no ${SSHD} here`);
  await using stack = new AsyncDisposableStack();
  const at = (file: string) => join(lab.directory, `${name}-${file}`);
  for (const key of ["host", "user"]) await lab.run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", at(key)]);
  if (userInfo().uid === 0 && !existsSync(SSHD_DIRECTORY)) {
    mkdirSync(SSHD_DIRECTORY, { mode: 0o755 });
    stack.defer(() => rmdirSync(SSHD_DIRECTORY));
  }
  const serve = async (site: Site, role: string) => {
    const port = await freePort();
    const config = [
      `Port ${port}`,
      `ListenAddress ${site.address}`,
      `HostKey ${at("host")}`,
      `AuthorizedKeysFile ${at("user.pub")}`,
      "StrictModes no",
      "UsePAM no",
      "PidFile none",
      "PermitRootLogin prohibit-password",
      // Root's shell skips the long beginning of its .bashrc: what is compared is the way there.
      "SetEnv SHLVL=5",
      "MaxStartups 1000",
      "MaxSessions 2000",
    ];
    writeFileSync(at(role), `${config.join("\n")}\n`);
    // It writes its title over its environment, by which the lab would know it.
    const server = start([...wordsInside(site), SSHD, "-D", "-e", "-f", at(role)], lab);
    stack.defer(() => end(server));
    await untilListening(server, port, lab);
    return { pid: server.pid ?? -1, port };
  };
  const [box, jump] = [await serve(sites.box, "sshd-box"), await serve(sites.near, "sshd-jump")];
  const hostLines = (host: string, { address }: Site, port: number) => [
    `Host ${host}`,
    `  HostName ${address}`,
    `  Port ${port}`,
  ];
  const config = [
    ...hostLines(SSH_BOX, sites.box, box.port),
    ...hostLines(SSH_JUMP, sites.near, jump.port),
    "Host *",
    `  User ${userInfo().username}`,
    `  IdentityFile ${at("user")}`,
    "  IdentitiesOnly yes",
    "  StrictHostKeyChecking no",
    "  UserKnownHostsFile /dev/null",
    "  BatchMode yes",
    "  LogLevel ERROR",
  ];
  writeFileSync(at("ssh_config"), `${config.join("\n")}\n`);
  const words: SshSite["words"] = (...options) => [
    ...wordsInside(sites.near),
    "ssh",
    "-F",
    at("ssh_config"),
    ...options,
  ];
  const life = stack.move();
  return {
    words,
    serverPids: [box.pid, jump.pid],
    forward: async (to, { isJump }) => {
      const port = await freePort();
      const here = sites.near.address;
      const way = ["-N", "-o", "ExitOnForwardFailure=yes", "-L", `${here}:${port}:${to.host}:${to.port}`];
      const client = start(words(...(isJump ? ["-J", SSH_JUMP] : []), ...way, SSH_BOX), lab);
      await untilListening(client, port, lab);
      return { pid: client.pid ?? -1, at: { host: here, port }, stop: () => end(client) };
    },
    keepConnection: async () => {
      const socket = at("kept");
      const master = start(words("-M", "-N", "-S", socket, SSH_BOX), lab);
      life.defer(() => end(master));
      await lab.until(() => existsSync(socket), "ssh keeps a connection", { timeoutMs: START_MS, pollMs: 20 });
      return words("-S", socket, SSH_BOX);
    },
    [Symbol.asyncDispose]: () => life.disposeAsync(),
  };
}

function start([file = "", ...args]: readonly string[], lab: Lab): ChildProcess {
  const child = lab.spawn(file, args, { stdio: "pipe" });
  child.stdout?.resume();
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise<void>((done) => child.once("exit", () => done()));
  killQuietly(child.pid ?? -1, "SIGTERM");
  const limit = systemClock.timer(2000, () => child.kill("SIGKILL"));
  await exited;
  limit.clear();
}

/** In the network that the process is in. */
async function untilListening(child: ChildProcess, port: number, lab: Lab): Promise<void> {
  let said = "";
  child.stderr?.on("data", (text) => {
    said += text;
  });
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const isListening = () => {
    if (child.exitCode !== null) throw new AppError("unavailable", `${child.spawnargs.join(" ")} ended: ${said}`);
    const [, ...lines] = readFileSync(`/proc/${child.pid}/net/tcp`, "utf8").trim().split("\n");
    return lines.some((line) => {
      const [, local = "", , state] = line.trim().split(/\s+/);
      return state === "0A" && local.endsWith(suffix);
    });
  };
  await lab.until(isListening, `port ${port} is open`, { timeoutMs: START_MS, pollMs: 20 });
}
