import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { tunnelFiles } from "../../src/agent/workload/tunnel/tunnel-files.ts";
import { loadTunnelKey } from "../../src/agent/workload/tunnel/tunnel-keys.ts";
import { writeTunnelFiles } from "../../src/agent/workload/tunnel/write-tunnel-files.ts";
import { systemClock } from "../../src/base/clock.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import { createSpawner } from "../../src/base/spawn.ts";
import { tunnelSpecSchema } from "../../src/contract/tunnel-spec.ts";
import { freePorts } from "../../test-server/free-port.ts";
import type { Lab } from "./lab.ts";
import type { MeasureContext, Measurement, Row } from "./measurement.ts";
import { median } from "./statistics.ts";

const ROUNDS = 21;
const ROUND_BYTES = 256 * 1024 * 1024;
const CHUNK_BYTES = 256 * 1024;
const SSHD = "/usr/sbin/sshd";
/** Where sshd insists on having a directory, when it is started as root. */
const SSHD_DIRECTORY = "/run/sshd";

/** A way from a port to the source. */
interface Way {
  readonly name: string;
  readonly port: number;
  readonly samples: number[];
}

/**
 * how long a quarter of a gigabyte takes from a source through a tunnel of ours, through plain stunnel with its defaults (which
 * verifies nobody) and through `ssh -L`: turn by turn, so that all have the same machine.
 */
export const tunnelThroughput: Measurement = {
  name: "tunnel-throughput",
  limitMs: 5 * 60_000,
  measure: async (context) => {
    const { lab, say, note, isLong } = context;
    const source = await serveBytes();
    let ssh: SshWay | undefined;
    try {
      const direct: Way = { name: "without a tunnel", port: portOf(source), samples: [] };
      const ours: Way = { name: "ours", port: await startOurs(direct.port, context), samples: [] };
      const plain: Way = { name: "stunnel with defaults", port: await startPlain(direct.port, lab), samples: [] };
      ssh = await startSsh(direct.port, context).catch((thrown: unknown) => {
        note(`ssh -L could not be measured: ${messageOf(thrown)}`);
        return undefined;
      });
      const ways = [direct, ours, plain, ...(ssh === undefined ? [] : [ssh])];
      for (const way of ways) await receive(way.port);
      const rounds = isLong ? ROUNDS * 3 : ROUNDS;
      for (let round = 0; round < rounds; round++) {
        say(`round ${round + 1} of ${rounds}`);
        // There and back, so that no way always comes after the same one.
        const order = round % 2 === 0 ? ways : ways.toReversed();
        for (const way of order) way.samples.push(await receive(way.port));
      }
      for (const way of ways) note(`${way.name}: ${Math.round(ROUND_BYTES / 1000 / median(way.samples))} MB/s`);
      return toRows(ours, plain, ways.slice(2).concat(direct));
    } finally {
      ssh?.stop();
      source.close();
    }
  },
};

function toRows(ours: Way, plain: Way, others: readonly Way[]): readonly Row[] {
  return [
    {
      what: "256 MiB through a tunnel",
      unit: "ms",
      samples: ours.samples,
      peers: others.map(({ name, samples }) => ({ name, samples })),
    },
    {
      what: "… its time by that of plain stunnel, turn by turn",
      unit: "%",
      samples: ours.samples.map((ms, round) => (100 * ms) / (plain.samples[round] ?? Number.NaN)),
      // 0.97 of its throughput.
      bar: { of: "p50", limit: 103 },
    },
  ];
}

/** Sends so many bytes to everybody who comes, as fast as they are taken. */
async function serveBytes(): Promise<Server> {
  const chunk = Buffer.alloc(CHUNK_BYTES, 0x5a);
  const server = createServer((socket) => {
    let left = ROUND_BYTES / CHUNK_BYTES;
    socket.on("error", () => undefined);
    const fill = () => {
      while (left > 0) {
        left -= 1;
        if (!socket.write(chunk)) return;
      }
      socket.end();
    };
    socket.on("drain", fill);
    fill();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/** How long all of it takes to come, milliseconds. */
function receive(port: number): Promise<number> {
  const startMs = systemClock.monotonicMs();
  return new Promise((resolve, reject) => {
    let bytes = 0;
    // One buffer for all reads: what is measured is the tunnel.
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    const socket = connect({
      host: "127.0.0.1",
      port,
      onread: {
        buffer,
        callback: (count) => {
          bytes += count;
          return true;
        },
      },
    });
    socket.once("error", reject);
    socket.once("close", () => {
      if (bytes === ROUND_BYTES) resolve(systemClock.monotonicMs() - startMs);
      else reject(new AppError("unavailable", `${bytes} of ${ROUND_BYTES} bytes came through port ${port}`));
    });
  });
}

async function startOurs(sourcePort: number, { lab, signal }: MeasureContext): Promise<number> {
  const { runProgram } = createSpawner({ ambient: lab.environment }, { clock: systemClock });
  const [gateway = 0, entry = 0] = await freePorts(2);
  const ends = [
    { role: "producer", listen: gateway, connect: sourcePort },
    { role: "consumer", listen: entry, connect: gateway },
  ] as const;
  const filesOf = (role: string) => tunnelFiles(join(lab.directory, `bench.${role}`));
  const keys = await Promise.all(
    ends.map(({ role }) =>
      loadTunnelKey({ files: filesOf(role), uid: "bench", role, generation: 1 }, { runProgram, signal }),
    ),
  );
  for (const [index, { role, listen, connect: to }] of ends.entries()) {
    const spec = tunnelSpecSchema.parse({
      uid: "bench",
      role,
      legs: [{ listen: { address: "127.0.0.1", port: listen }, connect: { host: "127.0.0.1", port: to } }],
      security: { kind: "cert", keyGeneration: 1, peerCertificates: [keys[1 - index]?.pem] },
    });
    await writeTunnelFiles(spec, filesOf(role));
    lab.spawn("stunnel", [filesOf(role).configPath]);
  }
  await untilOpen(entry, lab);
  return entry;
}

async function startPlain(sourcePort: number, lab: Lab): Promise<number> {
  const [gateway = 0, entry = 0] = await freePorts(2);
  const at = (name: string) => join(lab.directory, `plain-${name}`);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", at("key.pem")];
  await lab.run("openssl", ["req", "-x509", ...key, "-subj", "/CN=plain", "-days", "30", "-out", at("cert.pem")]);
  const common = "foreground = yes\nsyslog = no\npid =\n";
  const service = (listen: number, to: number) => `[plain]\naccept = 127.0.0.1:${listen}\nconnect = 127.0.0.1:${to}\n`;
  const own = `cert = ${at("cert.pem")}\nkey = ${at("key.pem")}\n`;
  writeFileSync(at("server.conf"), `${common}${service(gateway, sourcePort)}${own}`);
  writeFileSync(at("client.conf"), `${common}${service(entry, gateway)}client = yes\n`);
  for (const end of ["server.conf", "client.conf"]) lab.spawn("stunnel", [at(end)]);
  await untilOpen(entry, lab);
  return entry;
}

interface SshWay extends Way {
  readonly stop: () => void;
}

/** A server and a client of this user's own, with keys of their own, and the cipher that is fastest for it. */
async function startSsh(sourcePort: number, { lab }: MeasureContext): Promise<SshWay> {
  if (!existsSync(SSHD)) throw new AppError("not-found", `there is no ${SSHD} here`);
  const [serverPort = 0, entry = 0] = await freePorts(2);
  const at = (name: string) => join(lab.directory, `ssh-${name}`);
  for (const name of ["host", "user"]) await lab.run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", at(name)]);
  const config = [
    `Port ${serverPort}`,
    "ListenAddress 127.0.0.1",
    `HostKey ${at("host")}`,
    `AuthorizedKeysFile ${at("user.pub")}`,
    "StrictModes no",
    "UsePAM no",
    "PidFile none",
    "PermitRootLogin prohibit-password",
  ];
  writeFileSync(at("config"), `${config.join("\n")}\n`);
  const mustMake = userInfo().uid === 0 && !existsSync(SSHD_DIRECTORY);
  if (mustMake) mkdirSync(SSHD_DIRECTORY, { mode: 0o755 });
  // It writes its title over its environment, by which the lab would know it.
  const server = lab.spawn(SSHD, ["-D", "-e", "-f", at("config")]);
  const stop = () => void server.kill("SIGKILL");
  try {
    await untilOpen(serverPort, lab);
    const trust = ["-o", "StrictHostKeyChecking=no", "-o", `UserKnownHostsFile=${at("known")}`, "-o", "BatchMode=yes"];
    const way = ["-L", `127.0.0.1:${entry}:127.0.0.1:${sourcePort}`, "-o", "ExitOnForwardFailure=yes"];
    const cipher = ["-c", "aes128-gcm@openssh.com"];
    lab.spawn("ssh", [
      "-N",
      "-F",
      "none",
      "-i",
      at("user"),
      ...cipher,
      ...trust,
      ...way,
      "-p",
      String(serverPort),
      "127.0.0.1",
    ]);
    await untilOpen(entry, lab);
  } catch (thrown) {
    stop();
    throw thrown;
  } finally {
    if (mustMake) rmdirSync(SSHD_DIRECTORY);
  }
  return { name: "ssh -L (aes128-gcm)", port: entry, samples: [], stop };
}

async function untilOpen(port: number, lab: Lab): Promise<void> {
  const isOpen = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect({ host: "127.0.0.1", port });
      socket.once("connect", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", () => resolve(false));
    });
  await lab.until(isOpen, `port ${port} is open`, { timeoutMs: 10_000, pollMs: 20 });
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}
