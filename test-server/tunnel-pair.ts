import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";
import type { TunnelLeg, TunnelRole, TunnelSecurity, TunnelSpec } from "../src/contract/tunnel-spec.ts";
import type { TunnelStatus } from "../src/contract/tunnel-status.ts";
import type { TunnelWorkload } from "../src/contract/workload.ts";
import { type AgentWorld, createAgentWorld } from "./agent-world.ts";
import { freePorts } from "./free-port.ts";
import type { ServerProcess } from "./server-process.ts";

export interface TunnelPairOptions {
  readonly uid?: string;
  readonly security: "cert" | "psk";
  readonly legs?: number;
  /** What the tunnel leads to: something that gives back what it gets, or the RTMP server of the producer's world. */
  readonly source?: "echo" | "rtmp";
  readonly agentArguments?: readonly string[];
  /** Further fields of both ends' specs. */
  readonly extra?: Partial<TunnelSpec>;
  /** Who tells the boxes; their worlds' own servers unless given. */
  readonly servers?: Readonly<Record<TunnelRole, Pick<ServerProcess, "origin" | "putStreams">>>;
}

/** Two boxes on this machine with an end of one tunnel each, told by plain SSE servers; and an application at each end. */
export interface TunnelPair extends AsyncDisposable {
  readonly producer: AgentWorld;
  readonly consumer: AgentWorld;
  /** Ports of the consumer's entry points, all on 127.0.0.1. */
  readonly entries: readonly number[];
  readonly gateways: readonly number[];
  workload(role: TunnelRole, change?: Partial<TunnelSpec>): TunnelWorkload;
  /** Tells both ends what they must be, with what each must know of the other; with certificates as a hub does, copying. */
  link(): Promise<void>;
  /** What the box tells of its end. */
  status(role: TunnelRole): Promise<TunnelStatus | undefined>;
  untilUp(timeoutMs?: number): Promise<void>;
  security(role: TunnelRole): TunnelSecurity;
  setSecurity(role: TunnelRole, security: TunnelSecurity): void;
  /** Opens a connection to an entry point and keeps it. */
  open(entry?: number): Promise<Echo>;
}

/** A connection to the source, which gives back what it gets. */
export interface Echo {
  /** Resolves with what comes back. */
  say(text: string): Promise<string>;
  readonly isOpen: () => boolean;
  close(): void;
}

/** The shared key of every pair with `psk`. */
export const PAIR_SECRET = "0123456789abcdef".repeat(4);

export async function createTunnelPair(options: TunnelPairOptions): Promise<TunnelPair> {
  const uid = options.uid ?? "t-1";
  const count = options.legs ?? 1;
  const source = await startEcho();
  const gateways = await freePorts(count);
  const entries = await freePorts(count);
  const worldOf = (role: TunnelRole) => {
    const origin = options.servers?.[role].origin;
    const box = `${origin}/v1/boxes/${role}`;
    const environment =
      origin === undefined
        ? {}
        : { SLUICE_BOX_ID: role, SSE_ENDPOINT: `${box}/events`, SLUICE_REPORT_ENDPOINT: `${box}/report` };
    return createAgentWorld({ server: { rtmpPort: 0 }, agentArguments: options.agentArguments ?? [], environment });
  };
  const producer = await worldOf("producer");
  const consumer = await worldOf("consumer");
  const worlds = { producer, consumer };
  const shared: TunnelSecurity = { kind: "psk", keys: [{ identity: `${uid}.1`, secret: PAIR_SECRET }] };
  const fresh: TunnelSecurity = { kind: "cert", keyGeneration: 1, peerCertificates: [] };
  const securities = {
    producer: options.security === "psk" ? shared : fresh,
    consumer: options.security === "psk" ? shared : fresh,
  };
  const sourcePort = options.source === "rtmp" ? (producer.server.rtmp?.port ?? 0) : source.port;
  const legs: Readonly<Record<TunnelRole, readonly TunnelLeg[]>> = {
    producer: gateways.map((port) => ({ listen: local(port), connect: { host: "127.0.0.1", port: sourcePort } })),
    consumer: entries.map((port, index) => ({
      listen: local(port),
      connect: { host: "127.0.0.1", port: gateways[index] ?? 0 },
    })),
  };

  const workload: TunnelPair["workload"] = (role, change = {}) => ({
    kind: "tunnel",
    id: `${uid}.${role}`,
    spec: { uid, role, legs: [...legs[role]], security: securities[role], ...options.extra, ...change },
  });
  const status = async (role: TunnelRole) => (await worlds[role].workload(`${uid}.${role}`))?.tunnel;
  const put = (role: TunnelRole) => (options.servers?.[role] ?? worlds[role].server).putStreams(workload(role));

  return {
    producer,
    consumer,
    entries,
    gateways,
    workload,
    status,
    security: (role) => securities[role],
    setSecurity: (role, security) => {
      securities[role] = security;
      void put(role);
    },
    link: async () => {
      await put("producer");
      await put("consumer");
      if (options.security === "psk") return;
      for (const [role, other] of [
        ["producer", "consumer"],
        ["consumer", "producer"],
      ] as const) {
        const pem = await worlds[other].until(
          async () => (await status(other))?.certificates?.[0]?.pem,
          `the ${other}'s end tells its certificate`,
        );
        const before = securities[role];
        if (before.kind === "cert") securities[role] = { ...before, peerCertificates: [pem] };
      }
      await put("producer");
      await put("consumer");
    },
    untilUp: async (timeoutMs = 20_000) => {
      for (const role of ["producer", "consumer"] as const) {
        await worlds[role].until(
          async () => {
            const { phase, reason } = (await status(role)) ?? {};
            if (phase === "up") return true;
            throw new AppError("unavailable", `${phase}: ${reason}`);
          },
          `the ${role}'s end is up`,
          timeoutMs,
        );
      }
    },
    open: (entry = entries[0] ?? 0) => openEcho(entry),
    [Symbol.asyncDispose]: async () => {
      await producer[Symbol.asyncDispose]();
      await consumer[Symbol.asyncDispose]();
      source.close();
    },
  };
}

function local(port: number): TunnelLeg["listen"] {
  return { address: "127.0.0.1", port };
}

export async function startEcho(): Promise<{ readonly port: number; close(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    socket.pipe(socket);
  });
  const port = await listen(server);
  return {
    port,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

export async function openEcho(port: number): Promise<Echo> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => socket.destroy());
  await once(socket, "connect");
  return {
    say: async (text) => {
      let heard = "";
      const take = (bytes: Buffer) => {
        heard += bytes.toString();
      };
      socket.on("data", take);
      socket.write(text);
      const endMs = systemClock.monotonicMs() + 5000;
      while (heard.length < text.length && !socket.destroyed && systemClock.monotonicMs() < endMs) {
        await systemClock.delay(5);
      }
      socket.off("data", take);
      return heard;
    },
    isOpen: () => !socket.destroyed && socket.readable,
    close: () => socket.destroy(),
  };
}

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new AppError("internal", "a TCP server has a port");
  return address.port;
}
