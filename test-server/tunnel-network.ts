import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { type DocumentFormat, formatDocument, parseDocument } from "../src/base/document.ts";
import { AppError, messageOf } from "../src/base/errors.ts";
import { createProcessTable } from "../src/base/process-table.ts";
import { openRunDirectory } from "../src/base/run-directory.ts";
import type { WorkloadStatus } from "../src/contract/local-status.ts";
import {
  type TlsVersion,
  TUNNEL_ROLES,
  type TunnelRole,
  type TunnelSecurity,
  type TunnelSpec,
} from "../src/contract/tunnel-spec.ts";
import type { TunnelStatus } from "../src/contract/tunnel-status.ts";
import type { TunnelWorkload } from "../src/contract/workload.ts";
import { type AgentWorld, createAgentWorld } from "./agent-world.ts";
import { type ApplicationHost, startApplicationHost } from "./application-host.ts";
import { createSiteNetwork, type SiteName, type SiteNetwork } from "./site-network.ts";

export interface TunnelWish {
  readonly uid: string;
  readonly security: TunnelSecurity["kind"];
  readonly minTls?: TlsVersion;
  /** Where the sources are; left unless given. */
  readonly producer?: SiteName;
  /** Of the sources, on the producer's application host, one a leg. */
  readonly sources: readonly number[];
  /** For each step until it is up; longer where the agents are not left in peace. */
  readonly limitMs?: number;
}

/** A tunnel between the two boxes. */
export interface NetworkTunnel {
  readonly uid: string;
  readonly site: Readonly<Record<TunnelRole, SiteName>>;
  /** What the consumer's application host connects to, one a leg. */
  readonly entries: readonly EntryPoint[];
  readonly gateways: readonly EntryPoint[];
  spec(role: TunnelRole): TunnelSpec;
  status(role: TunnelRole): Promise<TunnelStatus | undefined>;
  pid(role: TunnelRole): Promise<number | undefined>;
  /** Resolves once both ends say `up`. */
  untilUp(timeoutMs?: number): Promise<void>;
  /** Takes it out of what is expected and waits until nothing of it is left: process, port, key. */
  down(): Promise<void>;
  /** Files of an end: its key, the peer's certificate or the shared keys. */
  directory(role: TunnelRole): string;
}

export interface EntryPoint {
  readonly host: string;
  readonly port: number;
}

/** Two boxes with an agent each, told by a server each, between two application hosts; and somebody on the wire between them. */
export interface TunnelNetwork extends AsyncDisposable {
  readonly net: SiteNetwork;
  readonly boxes: Readonly<Record<SiteName, AgentWorld>>;
  readonly hosts: Readonly<Record<SiteName, ApplicationHost>>;
  /** Declares it at both ends, and copies certificates from one to the other as a hub does. Resolves once both ends say `up`. */
  open(wish: TunnelWish): Promise<NetworkTunnel>;
  /** Polls until the predicate holds; `timeout` names `what`. */
  until: AgentWorld["until"];
  /** Every process of the box is killed and what it kept in memory is gone; the next agent there finds a new boot. */
  cutPower(site: SiteName): Promise<void>;
}

const MARKER: DocumentFormat = { format: "sluice.boot-marker", version: 1, minReader: 1 };
const FIRST_GATEWAY = 20_000;
const FIRST_ENTRY = 5100;
/** Of agents that are busy with many tunnels on a loaded machine. */
const LIMIT_MS = 60_000;
const GLANCE_MS = 50;

export async function createTunnelNetwork(agentArguments: readonly string[] = []): Promise<TunnelNetwork> {
  await using stack = new AsyncDisposableStack();
  const net = stack.use(await createSiteNetwork());
  const startBox = async (name: SiteName) => {
    const { box } = net.sites[name];
    const server = { host: box.nearAddress, listenAnywhere: true };
    const world = stack.use(await createAgentWorld({ namespace: box.name, server, agentArguments }));
    await world.startAgent();
    return world;
  };
  const startHost = async (name: SiteName) => stack.use(await startApplicationHost(net.sites[name].hostNamespace));
  const [left, right, leftHost, rightHost] = await Promise.all([
    startBox("left"),
    startBox("right"),
    startHost("left"),
    startHost("right"),
  ]);
  const boxes = { left, right };
  let nextPort = 0;
  let boots = 0;
  const life = stack.move();

  const glances = new Map<SiteName, { readonly atMs: number; readonly seen: Promise<readonly WorkloadStatus[]> }>();
  /** What a box tells, asked once in a while however many tunnels are waited for: a box that is asked all the time has no time. */
  const glance = (name: SiteName): Promise<readonly WorkloadStatus[]> => {
    const last = glances.get(name);
    const nowMs = systemClock.monotonicMs();
    if (last !== undefined && nowMs - last.atMs < GLANCE_MS) return last.seen;
    const seen = boxes[name].status().then(({ workloads }) => workloads);
    glances.set(name, { atMs: nowMs, seen });
    return seen;
  };

  const open = async ({
    uid,
    security,
    minTls,
    producer = "left",
    sources,
    limitMs = LIMIT_MS,
  }: TunnelWish): Promise<NetworkTunnel> => {
    const site = { producer, consumer: producer === "left" ? "right" : "left" } as const;
    const offset = nextPort;
    nextPort += sources.length;
    const gatewayHost = net.sites[site.producer].wireAddress;
    const entryHost = net.sites[site.consumer].innerAddress;
    const gateways = sources.map((_, index) => ({ host: gatewayHost, port: FIRST_GATEWAY + offset + index }));
    const entries = sources.map((_, index) => ({ host: entryHost, port: FIRST_ENTRY + offset + index }));
    const toListen = ({ host, port }: EntryPoint) => ({ address: host, port });
    const legs = {
      producer: gateways.map((gateway, index) => ({
        listen: toListen(gateway),
        connect: { host: net.sites[site.producer].hostAddress, port: sources[index] ?? 0 },
      })),
      consumer: entries.map((entry, index) => ({
        listen: toListen(entry),
        connect: gateways[index] ?? { host: gatewayHost, port: 0 },
      })),
    };
    const fresh = freshSecurity(uid, security);
    const securities = { producer: fresh, consumer: fresh };
    const spec = (role: TunnelRole): TunnelSpec => ({
      uid,
      role,
      legs: legs[role],
      security: securities[role],
      ...(minTls === undefined ? {} : { minTls }),
    });
    const put = () => {
      for (const role of TUNNEL_ROLES) {
        const workload: TunnelWorkload = { kind: "tunnel", id: `${uid}.${role}`, spec: spec(role) };
        boxes[site[role]].server.putStreams(workload);
      }
    };
    const look = async (role: TunnelRole) => (await glance(site[role])).find(({ id }) => id === `${uid}.${role}`);
    const status = async (role: TunnelRole) => (await look(role))?.tunnel;
    const exchangeCertificates = async () => {
      for (const [role, other] of [TUNNEL_ROLES, TUNNEL_ROLES.toReversed()] as [TunnelRole, TunnelRole][]) {
        const pem = await boxes[site[other]].until(
          async () => (await status(other))?.certificates?.[0]?.pem,
          `the ${other}'s end of ${uid} tells its certificate`,
          limitMs,
        );
        const before = securities[role];
        if (before.kind === "cert") securities[role] = { ...before, peerCertificates: [pem] };
      }
    };
    const directory = (role: TunnelRole) => join(boxes[site[role]].stateDir, "workloads", `${uid}.${role}`);
    const tunnel: NetworkTunnel = {
      uid,
      site,
      entries,
      gateways,
      spec,
      status,
      pid: async (role) => (await look(role))?.pid,
      directory,
      untilUp: async (timeoutMs = limitMs) => {
        const isUp = async (role: TunnelRole) => {
          const { phase, reason } = (await status(role)) ?? {};
          if (phase === "up") return true;
          throw new AppError("unavailable", `${phase}: ${reason}`);
        };
        await Promise.all(
          TUNNEL_ROLES.map((role) => boxes[site[role]].until(() => isUp(role), `${role} of ${uid} is up`, timeoutMs)),
        );
      },
      down: async () => {
        for (const role of TUNNEL_ROLES) boxes[site[role]].server.set.remove([`${uid}.${role}`]);
        for (const role of TUNNEL_ROLES) {
          const box = boxes[site[role]];
          const ports = legs[role].map(({ listen }) => listen.port);
          await box.until(
            async () => {
              const say = (what: string) => new AppError("conflict", `left: ${what}`);
              if ((await look(role)) !== undefined) throw say("the workload");
              if (existsSync(directory(role))) throw say(readdirSync(directory(role)).join(", "));
              const listening = listeningPorts(net.sites[site[role]].pids()[0]);
              if (listening.some((port) => ports.includes(port))) throw say(`one of the ports ${ports}`);
              if (stunnelsOf(box, `${uid}.${role}`).length > 0) throw say("a process");
              return true;
            },
            `nothing is left of the ${role}'s end of ${uid}`,
            LIMIT_MS,
          );
        }
      },
    };
    put();
    if (security === "cert") {
      await exchangeCertificates();
      put();
    }
    await tunnel.untilUp();
    return tunnel;
  };

  return {
    net,
    boxes,
    hosts: { left: leftHost, right: rightHost },
    open,
    until: left.until,
    cutPower: async (name) => {
      const world = boxes[name];
      const { pids } = net.sites[name];
      // Again, because a process that is being started while the first sweep runs is not yet in it.
      await world.until(() => {
        for (const pid of pids()) killQuietly(pid);
        return pids().length === 0 && world.agent() === undefined;
      }, `all processes of the ${name} box are gone`);
      rmSync(openRunDirectory({ stateDir: world.stateDir, userId: 0 }).path, { recursive: true, force: true });
      pretendOtherBoot(world.stateDir, ++boots);
    },
    [Symbol.asyncDispose]: () => life.disposeAsync(),
  };
}

function freshSecurity(uid: string, kind: TunnelSecurity["kind"]): TunnelSecurity {
  if (kind === "cert") return { kind, keyGeneration: 1, peerCertificates: [] };
  const secret = Buffer.from(uid.padEnd(32, "-").slice(0, 32)).toString("hex");
  return { kind, keys: [{ identity: `${uid}.1`, secret }] };
}

/** Live processes of a workload, as their environment proves. */
export function stunnelsOf(world: AgentWorld, id: string): readonly number[] {
  const table = createProcessTable();
  return world.workloadPids().filter((pid) => table.environment(pid, id)?.get("SLUICE_WORKLOAD")?.split("/")[1] === id);
}

/** Ports on which anything listens in the network of this process. */
function listeningPorts(pid: number | undefined): readonly number[] {
  if (pid === undefined) return [];
  try {
    const [, ...lines] = readFileSync(`/proc/${pid}/net/tcp`, "utf8").trim().split("\n");
    return lines
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state]) => state === "0A")
      .map(([, local]) => Number.parseInt(local?.split(":")[1] ?? "", 16));
  } catch (error) {
    throw new AppError("unavailable", `process ${pid}: ${messageOf(error)}`);
  }
}

/** Makes the last start look as if the kernel had told another boot then. */
function pretendOtherBoot(stateDir: string, count: number): void {
  const path = join(stateDir, ".boot_marker");
  const parsed = parseDocument(readFileSync(path, "utf8"), MARKER);
  if (parsed.kind !== "good" || typeof parsed.data !== "object")
    throw new AppError("internal", `${path}: ${parsed.kind}`);
  const bootId = `0f0e0d0c-0000-4000-8000-${String(count).padStart(12, "0")}`;
  const now = new Date(systemClock.wallMs()).toISOString();
  writeFileSync(path, formatDocument(MARKER, JSON.stringify({ ...parsed.data, bootId }), now));
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Gone between the look and the signal.
  }
}
