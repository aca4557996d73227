import { closeSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "../../../../test-server/free-port.ts";
import { systemClock } from "../../../base/clock.ts";
import { createSpawner, type DetachedChild } from "../../../base/spawn.ts";
import {
  type TunnelRole,
  type TunnelSecurity,
  type TunnelSpec,
  tunnelSpecSchema,
} from "../../../contract/tunnel-spec.ts";
import { type TunnelFiles, tunnelFiles } from "./tunnel-files.ts";
import { loadTunnelKey } from "./tunnel-keys.ts";
import { proveTunnel } from "./tunnel-proof.ts";
import { readTunnelTraffic } from "./tunnel-traffic.ts";
import { writeTunnelFiles } from "./write-tunnel-files.ts";

export interface TestEnd {
  readonly spec: TunnelSpec;
  readonly files: TunnelFiles;
}

export interface RunningEnd extends TestEnd {
  readonly pid: number;
  readonly exited: DetachedChild["exited"];
  /** What it has logged. */
  log(): string;
  signal(signal: NodeJS.Signals): void;
}

export interface TunnelWish {
  readonly kind?: TunnelSecurity["kind"];
  readonly minTls?: "1.2" | "1.3";
  readonly sourcePort: number;
  readonly legs?: number;
  /** Of the listeners. Absent: 127.0.0.1. */
  readonly address?: string;
}

const SECRET = "5f".repeat(32);

/** Real stunnels with real keys, both ends on loopback, all gone at the end. */
export function createTunnelWorld() {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "sluice-tunnel-")));
  const spawner = createSpawner({ ambient: process.env }, { clock: systemClock });
  const children: DetachedChild[] = [];
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  const life = new AbortController();
  const { signal } = life;
  const keyDeps = { runProgram: spawner.runProgram, signal };
  let count = 0;

  const serve = async (onConnection: (socket: Socket) => void): Promise<number> => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.once("close", () => sockets.delete(socket));
      onConnection(socket);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return portOf(server);
  };

  /** Both ends of a tunnel, their keys made and exchanged, their files written. */
  const createTunnel = async ({
    kind = "cert",
    minTls = "1.3",
    sourcePort,
    legs = 1,
    address = "127.0.0.1",
  }: TunnelWish) => {
    const uid = `t${count++}`;
    const ports = await freePorts(legs * 2);
    const entries = ports.slice(0, legs);
    const gateways = ports.slice(legs);
    const filesOf = (role: TunnelRole) => tunnelFiles(join(directory, `${uid}.${role}`));
    const securityOf = async (role: TunnelRole): Promise<TunnelSecurity> => {
      if (kind === "psk") return { kind, keys: [{ identity: `${uid}.1`, secret: SECRET }] };
      const peer = role === "producer" ? "consumer" : "producer";
      await loadTunnelKey({ files: filesOf(role), uid, role, generation: 1 }, keyDeps);
      const { pem } = await loadTunnelKey({ files: filesOf(peer), uid, role: peer, generation: 1 }, keyDeps);
      return { kind, keyGeneration: 1, peerCertificates: [pem] };
    };
    const endOf = async (role: TunnelRole): Promise<TestEnd> => {
      const points = { producer: [gateways, gateways.map(() => sourcePort)], consumer: [entries, gateways] };
      const [listens = [], connects = []] = points[role];
      const spec = tunnelSpecSchema.parse({
        uid,
        role,
        legs: listens.map((port, index) => ({
          listen: { address, port },
          connect: { host: role === "producer" ? "127.0.0.1" : address, port: connects[index] },
        })),
        security: await securityOf(role),
        minTls,
      });
      const files = filesOf(role);
      await writeTunnelFiles(spec, files);
      return { spec, files };
    };
    return { producer: await endOf("producer"), consumer: await endOf("consumer"), entries, gateways };
  };

  /** Starts an end, its configuration changed by `spoil` first, and waits until it listens. */
  const start = async (end: TestEnd, spoil: (text: string) => string = (text) => text): Promise<RunningEnd> => {
    const { configPath } = end.files;
    writeFileSync(configPath, spoil(readFileSync(configPath, "utf8")));
    const logPath = join(directory, `.run-${count++}`);
    const fd = openSync(logPath, "a", 0o600);
    const child = await spawner.spawnDetached({
      file: "stunnel",
      args: [configPath],
      env: {},
      stdoutFd: fd,
      stderrFd: fd,
    });
    closeSync(fd);
    children.push(child);
    let isGone = false;
    void child.exited.then(() => {
      isGone = true;
    });
    const log = () => readFileSync(logPath, "utf8");
    await eventually(() => {
      if (isGone) throw new RangeError(`stunnel ended:\n${log()}`);
      return (readTunnelTraffic(child.pid, end.spec)?.listens.length ?? 0) >= end.spec.legs.length;
    });
    return { ...end, ...child, log, signal: (name) => process.kill(child.pid, name) };
  };

  return {
    directory,
    signal,
    runProgram: spawner.runProgram,
    keyDeps,
    serve,
    createTunnel,
    start,
    prove: (end: RunningEnd, round = 0) =>
      proveTunnel(
        { spec: end.spec, files: end.files, pid: end.pid, stunnelPath: "stunnel", round },
        { runProgram: spawner.runProgram, clock: systemClock, signal },
      ),
    close: async () => {
      life.abort(new RangeError("the test is over"));
      for (const { pid } of children) {
        try {
          process.kill(pid, "SIGKILL");
        } catch {
          // Gone already.
        }
      }
      for (const socket of sockets) socket.destroy();
      for (const server of servers) server.close();
      await Promise.all(children.map((child) => child.exited));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Waits until `check` gives a value, for at most `limitMs`. */
export async function eventually<Value>(check: () => Value | undefined | false, limitMs = 10_000): Promise<Value> {
  const until = systemClock.monotonicMs() + limitMs;
  for (;;) {
    const value = check();
    if (value !== undefined && value !== false) return value;
    if (systemClock.monotonicMs() > until) throw new RangeError(`not within ${limitMs} ms: ${check.toString()}`);
    await systemClock.delay(10);
  }
}
