import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A machine of its own at the end of a cable of its own, and a firewall there that can swallow what comes or goes. */
export interface NetworkNamespace extends AsyncDisposable {
  readonly name: string;
  /** This machine's end of the cable. */
  readonly nearAddress: string;
  /** The other end. */
  readonly address: string;
  /** Everything that comes (`input`) or goes (`output`) there is lost without a word. */
  drop(hooks: readonly ("input" | "output")[]): void;
  /** The same for all that comes or goes by the cable: the machine itself goes on. */
  cut(): void;
  /** Ends `drop` and `cut`. */
  heal(): void;
  /** Takes this machine's end of the cable out. */
  unplug(): void;
  plug(): void;
  /** By which the connections that begin from now on find out how much to send. */
  setCongestionControl(name: "reno" | "cubic"): void;
  /** What processes there ask for names. */
  setResolver(address: string): void;
}

/** Why there can be none on this machine; undefined where there can. */
export function networkNamespaceProblem(): string | undefined {
  if (process.getuid?.() !== 0) return "not root";
  const tool = ["ip", "nft"].find(
    (name) => !["/usr/sbin", "/sbin", "/usr/bin"].some((folder) => existsSync(join(folder, name))),
  );
  if (tool !== undefined) return `no ${tool}`;
  const name = `sluice-try-${process.pid}`;
  try {
    execFileSync("ip", ["netns", "add", name], { stdio: "ignore" });
    execFileSync("ip", ["netns", "exec", name, "nft", "list", "ruleset"], { stdio: "ignore" });
    return undefined;
  } catch {
    return "no network namespace to be had";
  } finally {
    try {
      execFileSync("ip", ["netns", "del", name], { stdio: "ignore" });
    } catch {
      // It could not be made either.
    }
  }
}

/** Each has a name and a subnet of its own. */
const NETWORKS = 50 * 250;
const STEP = 61;

/** Takes the first that nobody has: test files run beside each other, in processes whose numbers follow one another. */
function takeIndex(): number {
  let problem: unknown;
  for (let turn = 0; turn < 100; turn++) {
    const index = (process.pid * STEP + turn) % NETWORKS;
    try {
      execFileSync("ip", ["netns", "add", `sluice-${index}`], { stdio: "pipe" });
      return index;
    } catch (thrown) {
      problem = thrown;
    }
  }
  throw problem;
}

export function createNetworkNamespace(): NetworkNamespace {
  const index = takeIndex();
  const name = `sluice-${index}`;
  const [near, far] = [`sl${index}a`, `sl${index}b`];
  const subnet = `10.${200 + (index % 50)}.${Math.floor(index / 50)}`;
  const [nearAddress, address] = [`${subnet}.1`, `${subnet}.2`];
  /** `ip netns exec` lays the files of this directory over those of /etc. */
  const etc = `/etc/netns/${name}`;
  const run = (...words: string[]) => void execFileSync(words[0] ?? "", words.slice(1), { stdio: "pipe" });
  const inside = (...words: string[]) => run("ip", "netns", "exec", name, ...words);
  run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", name);
  run("ip", "addr", "add", `${nearAddress}/30`, "dev", near);
  run("ip", "link", "set", near, "up");
  run("ip", "-n", name, "addr", "add", `${address}/30`, "dev", far);
  for (const link of ["lo", far]) run("ip", "-n", name, "link", "set", link, "up");
  run("ip", "-n", name, "route", "add", "default", "via", nearAddress);
  inside("sysctl", "-qw", "net.ipv4.tcp_rmem=4096 16384 32768");
  return {
    name,
    nearAddress,
    address,
    drop: (hooks) => {
      inside("nft", "add", "table", "inet", "t");
      for (const hook of hooks) {
        inside("nft", `add chain inet t ${hook} { type filter hook ${hook} priority 0; policy drop; }`);
      }
    },
    cut: () => {
      inside("nft", "add", "table", "inet", "t");
      for (const [hook, word] of [
        ["input", "iifname"],
        ["output", "oifname"],
      ]) {
        inside("nft", `add chain inet t ${hook} { type filter hook ${hook} priority 0; }`);
        inside("nft", `add rule inet t ${hook} ${word} != lo drop`);
      }
    },
    heal: () => inside("nft", "flush", "ruleset"),
    unplug: () => run("ip", "link", "set", near, "down"),
    plug: () => run("ip", "link", "set", near, "up"),
    setCongestionControl: (name) => inside("sysctl", "-qw", `net.ipv4.tcp_congestion_control=${name}`),
    setResolver: (resolver) => {
      mkdirSync(etc, { recursive: true });
      writeFileSync(join(etc, "resolv.conf"), `nameserver ${resolver}\noptions timeout:1 attempts:1\n`);
    },
    [Symbol.asyncDispose]: async () => {
      run("ip", "netns", "del", name);
      rmSync(etc, { recursive: true, force: true });
    },
  };
}
