import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";
import { freePort } from "./free-port.ts";

const HOST = "127.0.0.1";
const START_MS = 30_000;

/** Why no Redis can be started here; undefined where it can. */
export const redisRefusal = (process.env["PATH"] ?? "")
  .split(delimiter)
  .some((folder) => existsSync(join(folder, "redis-server")))
  ? undefined
  : "redis-server is not installed";

export interface RedisWish {
  readonly password?: string;
  /** Only TLS, with a certificate for 127.0.0.1. */
  readonly tls?: boolean;
  /** Every acknowledged write is on the disk. */
  readonly durable?: boolean;
  /** Port of the master that it follows. */
  readonly replicaOf?: number;
  /** Watches the master of this port under the name `fleet`, alone, and replaces it half a second after it is gone. */
  readonly sentinelOf?: number;
}

/** A real redis-server that can be frozen, killed and started again on the same port with the same files. */
export interface RedisServer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** PEM of who signed its certificate. */
  readonly ca: string | undefined;
  /** While it runs. */
  pid(): number | undefined;
  signal(name: NodeJS.Signals): void;
  kill(): Promise<void>;
  start(): Promise<void>;
  /** All that it has is gone, from its disk too. */
  empty(): Promise<void>;
}

export async function startRedis(wish: RedisWish = {}): Promise<RedisServer> {
  const directory = await mkdtemp(join(tmpdir(), "sluice-redis-"));
  const port = await freePort();
  const ca = wish.tls === true ? await makeCertificate(directory) : undefined;
  const file = join(directory, "redis.conf");
  await writeFile(
    file,
    wish.sentinelOf === undefined ? configuration(wish, port, directory) : sentinelConfiguration(wish, port, directory),
  );
  let server: ChildProcess | undefined;
  const kill = async () => {
    if (server === undefined || server.exitCode !== null || server.signalCode !== null || server.pid === undefined)
      return;
    const exited = once(server, "exit");
    server.kill("SIGKILL");
    await exited;
  };
  const start = async () => {
    const child = spawn("redis-server", [file, ...(wish.sentinelOf === undefined ? [] : ["--sentinel"])], {
      stdio: "ignore",
    });
    server = child;
    await untilListening(child, port);
  };
  const close = async () => {
    await kill();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await start();
  } catch (error) {
    await close();
    throw error;
  }
  return {
    host: HOST,
    port,
    ca,
    pid: () => server?.pid,
    signal: (name) => void server?.kill(name),
    kill,
    start,
    empty: () => flush(port),
    [Symbol.asyncDispose]: close,
  };
}

function configuration(wish: RedisWish, port: number, directory: string): string {
  const { password, durable = false, replicaOf } = wish;
  const listen =
    wish.tls === true
      ? `port 0\ntls-port ${port}\ntls-cert-file ${directory}/cert.pem\ntls-key-file ${directory}/key.pem\ntls-auth-clients no`
      : `port ${port}`;
  return [
    `bind ${HOST}`,
    listen,
    `dir ${directory}`,
    'save ""',
    "maxmemory-policy noeviction",
    durable ? "appendonly yes\nappendfsync always" : "appendonly no",
    ...(password === undefined ? [] : [`requirepass ${password}`, `masterauth ${password}`]),
    ...(replicaOf === undefined ? [] : [`replicaof ${HOST} ${replicaOf}`]),
    "repl-diskless-sync-delay 0",
    "",
  ].join("\n");
}

function sentinelConfiguration({ sentinelOf, password }: RedisWish, port: number, directory: string): string {
  return [
    `bind ${HOST}`,
    `port ${port}`,
    `dir ${directory}`,
    `sentinel monitor fleet ${HOST} ${sentinelOf} 1`,
    ...(password === undefined ? [] : [`sentinel auth-pass fleet ${password}`, `requirepass ${password}`]),
    "sentinel down-after-milliseconds fleet 500",
    "sentinel failover-timeout fleet 3000",
    "",
  ].join("\n");
}

async function makeCertificate(directory: string): Promise<string> {
  const command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=sluice-test";
  const files = ["-keyout", join(directory, "key.pem"), "-out", join(directory, "cert.pem")];
  execFileSync("openssl", [...command.split(" "), "-addext", `subjectAltName=IP:${HOST}`, ...files], {
    stdio: "ignore",
  });
  return readFile(join(directory, "cert.pem"), "utf8");
}

async function untilListening(server: ChildProcess, port: number): Promise<void> {
  const limitMs = systemClock.monotonicMs() + START_MS;
  while (systemClock.monotonicMs() < limitMs) {
    if (server.exitCode !== null) throw new AppError("unavailable", `redis-server ended with ${server.exitCode}`);
    if (await isOpen(port)) return;
    await systemClock.delay(20);
  }
  throw new AppError("timeout", `redis-server did not listen on port ${port} within ${START_MS} ms`);
}

async function flush(port: number): Promise<void> {
  const socket = connect(port, HOST);
  try {
    await once(socket, "connect");
    const answered = once(socket, "data");
    socket.write("FLUSHALL\r\n");
    const [answer] = await answered;
    if (!String(answer).startsWith("+OK")) throw new AppError("unavailable", `FLUSHALL: ${String(answer)}`);
  } finally {
    socket.destroy();
  }
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, HOST);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
