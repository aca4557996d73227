import { execFileSync, spawn } from "node:child_process";
import { statSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";
import { createNetworkNamespace, type NetworkNamespace } from "./network-namespace.ts";

export const SITE_NAMES = ["left", "right"] as const;
export type SiteName = (typeof SITE_NAMES)[number];

/** A box between the wire and an application host of its own. */
export interface Site {
  readonly name: SiteName;
  /** The box, and the cable over which it reaches its server. */
  readonly box: NetworkNamespace;
  /** Namespace of the application host. */
  readonly hostNamespace: string;
  /** Of the box, on the wire. */
  readonly wireAddress: string;
  /** Of the box, towards its application host. */
  readonly innerAddress: string;
  /** Of the application host. */
  readonly hostAddress: string;
  /** Processes that run in the box. */
  pids(): readonly number[];
  /** Everything between this box and the wire is lost without a word. */
  dropWire(): void;
  healWire(): void;
  unplugWire(): void;
  plugWire(): void;
}

/**
 * Application host, box, wire, box, application host: five machines as far as the network is concerned. The wire is a
 * switch, and whoever sits at it has an address there too. Boxes pass packets on, so that the hosts can also talk plainly.
 */
export interface SiteNetwork extends AsyncDisposable {
  readonly sites: Readonly<Record<SiteName, Site>>;
  readonly wireNamespace: string;
  /** Resolves once every packet between the left box and the wire is kept. */
  capture(): Promise<PacketCapture>;
}

export interface PacketCapture extends AsyncDisposable {
  /** Ends it and gives all that was on the wire. */
  stop(): Promise<Buffer>;
}

const ADDRESSES = {
  left: { wire: "192.0.2.1", inner: "198.51.100.1", host: "198.51.100.2" },
  right: { wire: "192.0.2.2", inner: "203.0.113.1", host: "203.0.113.2" },
} as const;
const WIRE_OBSERVER = "192.0.2.3";
const CAPTURE_START_MS = 10_000;
/** What a busy machine lets wait is not lost. */
const BUFFER_KIB = "65536";
/** It hands over what has come once a second. */
const SETTLED_MS = 1200;

/** Rejects where this machine has no namespaces, switches or rules to give, and leaves nothing behind then. */
export async function createSiteNetwork(): Promise<SiteNetwork> {
  await using stack = new AsyncDisposableStack();
  const boxes = { left: stack.use(createNetworkNamespace()), right: stack.use(createNetworkNamespace()) };
  const wire = `${boxes.left.name}-wire`;
  const hosts = { left: `${boxes.left.name}-host`, right: `${boxes.right.name}-host` };
  for (const name of [wire, hosts.left, hosts.right]) {
    run("ip", "netns", "add", name);
    stack.defer(() => run("ip", "netns", "del", name));
    run("ip", "-n", name, "link", "set", "lo", "up");
  }
  run("ip", "-n", wire, "link", "add", "switch", "type", "bridge");
  run("ip", "-n", wire, "link", "set", "switch", "up");
  run("ip", "-n", wire, "addr", "add", `${WIRE_OBSERVER}/24`, "dev", "switch");
  const site = (name: SiteName): Site => {
    const box = boxes[name];
    const host = hosts[name];
    const own = ADDRESSES[name];
    const other = ADDRESSES[name === "left" ? "right" : "left"];
    layCable({ namespace: box.name, device: "wire" }, { namespace: wire, device: name });
    run("ip", "-n", wire, "link", "set", name, "master", "switch");
    layCable({ namespace: box.name, device: "inner" }, { namespace: host, device: "outer" });
    run("ip", "-n", box.name, "addr", "add", `${own.wire}/24`, "dev", "wire");
    run("ip", "-n", box.name, "addr", "add", `${own.inner}/24`, "dev", "inner");
    run("ip", "-n", host, "addr", "add", `${own.host}/24`, "dev", "outer");
    run("ip", "-n", host, "route", "add", "default", "via", own.inner);
    run("ip", "-n", box.name, "route", "add", `${other.host}/32`, "via", other.wire);
    inside(box.name, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.tcp_rmem=4096 131072 6291456");
    return {
      name,
      box,
      hostNamespace: host,
      wireAddress: own.wire,
      innerAddress: own.inner,
      hostAddress: own.host,
      pids: () => pidsIn(box.name),
      dropWire: () => {
        inside(box.name, "nft", "add", "table", "inet", "wire");
        for (const [hook, word] of [
          ["input", "iifname"],
          ["output", "oifname"],
        ]) {
          inside(box.name, "nft", `add chain inet wire ${hook} { type filter hook ${hook} priority 0; }`);
          inside(box.name, "nft", `add rule inet wire ${hook} ${word} wire drop`);
        }
      },
      healWire: () => inside(box.name, "nft", "delete", "table", "inet", "wire"),
      unplugWire: () => run("ip", "-n", wire, "link", "set", name, "down"),
      plugWire: () => run("ip", "-n", wire, "link", "set", name, "up"),
    };
  };
  const sites = { left: site("left"), right: site("right") };
  const life = stack.move();
  return {
    sites,
    wireNamespace: wire,
    capture: () => capture(wire, "left"),
    [Symbol.asyncDispose]: () => life.disposeAsync(),
  };
}

/** Numbers of the processes in a network namespace. */
function pidsIn(namespace: string): readonly number[] {
  const text = execFileSync("ip", ["netns", "pids", namespace], { encoding: "utf8" });
  return text.split("\n").filter(Boolean).map(Number);
}

async function capture(namespace: string, device: string): Promise<PacketCapture> {
  const directory = await mkdtemp(join(tmpdir(), "sluice-capture-"));
  const path = join(directory, "wire.pcap");
  const command = ["tcpdump", "-i", device, "-s", "0", "-B", BUFFER_KIB, "-U", "-w", path, "-Z", "root"];
  const child = spawn("ip", ["netns", "exec", namespace, ...command], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8");
  child.stderr.on("data", (text: string) => {
    said += text;
  });
  const exited = new Promise<void>((done) => {
    child.once("exit", () => done()).once("error", () => done());
  });
  const close = async () => {
    child.kill("SIGKILL");
    await exited;
    await rm(directory, { recursive: true, force: true });
  };
  const endMs = systemClock.monotonicMs() + CAPTURE_START_MS;
  while (!said.includes("listening on")) {
    if (child.exitCode !== null || systemClock.monotonicMs() > endMs) {
      await close();
      throw new AppError("unavailable", `tcpdump did not start: ${said}`);
    }
    await systemClock.delay(10);
  }
  return {
    stop: async () => {
      // What waits in the buffer when it ends is lost: it has written all once its file no longer grows.
      let bytes = -1;
      for (let now = 0; now !== bytes; now = statSync(path).size) {
        bytes = now;
        await systemClock.delay(SETTLED_MS);
      }
      child.kill("SIGINT");
      await exited;
      return await readFile(path);
    },
    [Symbol.asyncDispose]: close,
  };
}

/** A cable between two namespaces. */
function layCable(one: Plug, other: Plug): void {
  const peer = ["peer", "name", other.device, "netns", other.namespace];
  run("ip", "link", "add", one.device, "netns", one.namespace, "type", "veth", ...peer);
  for (const { namespace, device } of [one, other]) run("ip", "-n", namespace, "link", "set", device, "up");
}

interface Plug {
  readonly namespace: string;
  readonly device: string;
}

function inside(namespace: string, ...words: string[]): void {
  run("ip", "netns", "exec", namespace, ...words);
}

function run(...words: string[]): void {
  execFileSync(words[0] ?? "", words.slice(1), { stdio: "pipe" });
}
