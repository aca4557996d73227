import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { AppError } from "../../../src/base/errors.ts";
import { killQuietly, type Lab } from "../lab.ts";

/** Where a process runs: `undefined` is this machine's own network. */
export interface Site {
  readonly namespace: string | undefined;
  readonly address: string;
}

/** Two machines, as far as the network is concerned. */
export interface SitePair extends AsyncDisposable {
  /** Hub, router and operator. */
  readonly near: Site;
  readonly box: Site;
}

export interface LinkWish {
  readonly roundTripMs: number;
  /** Each way; 0: as fast as this machine can. */
  readonly bitsPerSecond: number;
  /** What waits for the rate before it is lost. */
  readonly queueBytes: number;
  readonly mtuBytes: number;
  /** The buffers of connections are what the system gives, and not as large as the link would take. */
  readonly hasOwnBuffers?: boolean;
}

const EMULATOR = resolve(import.meta.dirname, "emulate-link.py");
const ADDRESSES = { near: "192.0.2.1", box: "192.0.2.2" } as const;
/** As much of a connection as may be under way: what is measured are the ends, not this kernel's first guess. */
const SOCKET_BYTES = "4096 131072 67108864";

export const LOOPBACK: Site = { namespace: undefined, address: "127.0.0.1" };

/** The words before a program's own that make it run there. */
export function wordsInside({ namespace }: Site): readonly string[] {
  return namespace === undefined ? [] : ["ip", "netns", "exec", namespace];
}

/** Why there can be no such link on this machine; undefined where there can. */
export function siteLinkProblem(): string | undefined {
  if (process.getuid?.() !== 0) return "links with a delay or a rate need root";
  const folders = (process.env["PATH"] ?? "").split(":");
  const missing = ["ip", "python3"].find((name) => !folders.some((folder) => existsSync(join(folder, name))));
  if (missing !== undefined) return `links with a delay or a rate need ${missing}`;
  return existsSync("/dev/net/tun") ? undefined : "links with a delay or a rate need /dev/net/tun";
}

/** Rejects with `unavailable` where the kernel has no namespaces or no tun devices to give. */
export async function linkSites(name: string, wish: LinkWish, lab: Lab): Promise<SitePair> {
  await using stack = new AsyncDisposableStack();
  const site = async (end: keyof typeof ADDRESSES): Promise<Site> => {
    const namespace = `sluice-bench-${process.pid}-${name}-${end}`;
    // Before it is there: an interruption may come while it is made, and the lab starts nothing any more then.
    stack.defer(() => deleteNamespace(namespace));
    await lab.run("ip", ["netns", "add", namespace]);
    await lab.run("ip", ["-n", namespace, "link", "set", "lo", "up"]);
    const settings = [`net.ipv4.tcp_rmem=${SOCKET_BYTES}`, `net.ipv4.tcp_wmem=${SOCKET_BYTES}`];
    if (wish.hasOwnBuffers !== true) await lab.run("ip", ["netns", "exec", namespace, "sysctl", "-qw", ...settings]);
    return { namespace, address: ADDRESSES[end] };
  };
  const [near, box] = [await site("near"), await site("box")];
  const child = spawn(
    "python3",
    [
      EMULATOR,
      ...[near.namespace ?? "", `${near.address}/24`, box.namespace ?? "", `${box.address}/24`],
      ...[wish.roundTripMs / 2, wish.bitsPerSecond, wish.queueBytes, wish.mtuBytes].map(String),
    ],
    // Ctrl-C is for the measurement, which ends it; without that it ends with its standard input.
    { stdio: ["pipe", "pipe", "inherit"], detached: true },
  );
  child.stdin.on("error", () => undefined);
  const exited = once(child, "exit");
  stack.defer(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  const said = await Promise.race([once(child.stdout, "data"), exited]);
  if (!String(said[0]).startsWith("ready")) throw new AppError("unavailable", "the emulated link did not begin");
  const life = stack.move();
  return { near, box, [Symbol.asyncDispose]: () => life.disposeAsync() };
}

/** With all that still runs there: commands that a box was asked for have the environment of its users, and not the lab's. */
function deleteNamespace(namespace: string): void {
  if (!existsSync(`/run/netns/${namespace}`)) return;
  const pids = execFileSync("ip", ["netns", "pids", namespace], { encoding: "utf8" });
  for (const pid of pids.split("\n").filter((line) => line !== "")) killQuietly(Number(pid), "SIGKILL");
  execFileSync("ip", ["netns", "del", namespace], { stdio: "ignore" });
}
