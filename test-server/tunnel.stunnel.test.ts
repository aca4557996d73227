import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ownKeyPath, tunnelFiles } from "../src/agent/workload/tunnel/tunnel-files.ts";
import { systemClock } from "../src/base/clock.ts";
import type { TlsVersion } from "../src/contract/tunnel-spec.ts";
import type { KeptConnection } from "./application-host.ts";
import { type Credential, type IntrusionResult, intrude } from "./tls-intruder.ts";
import { createTunnelNetwork, type EntryPoint, type NetworkTunnel, type TunnelNetwork } from "./tunnel-network.ts";
import { tunnelNetworkProblem } from "./tunnel-network-problem.ts";

const isLong = process.env["SLUICE_TEST_LONG"] === "1";
const COUNT_PORT = 7000;
const ECHO_PORT = 7001;
const RTMP_PORT = 1935;
const BULK_BYTES = isLong ? 400_000_000 : 8_000_000;
const IDLE_MS = isLong ? 600_000 : 60_000;
const SECURITIES = ["cert", "psk"] as const;
const VERSIONS = ["1.3", "1.2"] as const;

const problem = tunnelNetworkProblem();
const title = `tunnels between two boxes in networks of their own${problem === undefined ? "" : ` (skipped: ${problem})`}`;

describe.skipIf(problem !== undefined)(title, () => {
  let world: TunnelNetwork;
  let tunnels: Readonly<Record<string, NetworkTunnel>>;
  let idle: { readonly connection: KeptConnection; readonly sinceMs: number };
  const folder = mkdtempSync(join(tmpdir(), "sluice-intruder-"));

  /** Of the tunnel with this security that takes no less than this version. */
  const tunnelOf = (security: string, minTls: TlsVersion): NetworkTunnel => {
    const tunnel = tunnels[`${security}-${minTls}`];
    if (tunnel === undefined) throw new RangeError(`a tunnel ${security}-${minTls}`);
    return tunnel;
  };
  const entry = (tunnel: NetworkTunnel, leg: number): EntryPoint => {
    const point = tunnel.entries[leg];
    if (point === undefined) throw new RangeError(`leg ${leg}`);
    return point;
  };

  beforeAll(async () => {
    world = await createTunnelNetwork();
    await world.hosts.left.serve(COUNT_PORT, "count");
    await world.hosts.left.serve(ECHO_PORT, "echo");
    await world.hosts.left.serveRtmp(RTMP_PORT);
    await world.hosts.right.serve(COUNT_PORT, "count");
    const wishes = SECURITIES.flatMap((security) => VERSIONS.map((minTls) => ({ security, minTls })));
    const opened = wishes.map(async (wish) => {
      const uid = `${wish.security}-${wish.minTls}`;
      return [uid, await world.open({ ...wish, uid, sources: [ECHO_PORT, COUNT_PORT, RTMP_PORT] })] as const;
    });
    tunnels = Object.fromEntries(await Promise.all(opened));
    const { host, port } = entry(tunnelOf("cert", "1.3"), 0);
    const connection = await world.hosts.right.open(host, port);
    expect(await connection.say("first")).toBe("first");
    idle = { connection, sinceMs: systemClock.monotonicMs() };
  }, 120_000);
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await world?.[Symbol.asyncDispose]();
  });

  test.each(SECURITIES)(
    "carry bulk of which no byte can be read on the wire, though it can be without them (%s)",
    async (security) => {
      const payload = `known-${randomBytes(16).toString("hex")}`;
      const bulk = { payload, bytes: BULK_BYTES };
      const through = await captured(() =>
        world.hosts.right.exchange({ ...entry(tunnelOf(security, "1.3"), 1), ...bulk }),
      );
      const beside = await captured(() =>
        world.hosts.right.exchange({ host: world.net.sites.left.hostAddress, port: COUNT_PORT, ...bulk }),
      );
      const rate = (ms: number) => `${Math.round((BULK_BYTES * 8) / 1000 / ms)} Mbit/s`;
      console.log(
        `${security}: ${rate(through.result.tookMs)} through, ${rate(beside.result.tookMs)} beside, captured`,
      );
      for (const { result, seen } of [through, beside]) {
        expect(result.right).toBe(1);
        // All of it was on the wire, and all of that was kept.
        expect(seen.length).toBeGreaterThan(BULK_BYTES);
      }
      expect(through.seen.includes(payload)).toBe(false);
      expect(beside.seen.includes(payload)).toBe(true);
    },
  );

  test("carry a real RTMP stream, whose key cannot be read on the wire, though it can be without them", async () => {
    const publish = async (point: EntryPoint) => {
      const key = `key-${randomBytes(8).toString("hex")}`;
      const { seen } = await captured(() => publishRtmp(world.net.sites.right.hostNamespace, point, key));
      return { isReadable: seen.includes(key), mediaBytes: await world.hosts.left.mediaBytes(key), wire: seen.length };
    };
    const through = await publish(entry(tunnelOf("cert", "1.3"), 2));
    const beside = await publish({ host: world.net.sites.left.hostAddress, port: RTMP_PORT });
    expect(beside.mediaBytes).toBeGreaterThan(20_000);
    expect(through.mediaBytes).toBe(beside.mediaBytes);
    expect(through.wire).toBeGreaterThan(through.mediaBytes);
    expect({ through: through.isReadable, beside: beside.isReadable }).toEqual({ through: false, beside: true });
  });

  describe.each(SECURITIES)("with %s", (security) => {
    test.each(VERSIONS)("let nobody in from the wire who lacks the key (least TLS version %s)", async (minTls) => {
      const tunnel = tunnelOf(security, minTls);
      const strangers: Readonly<Record<string, Credential>> = {
        "no key": { kind: "none" },
        "another tunnel's key": keyOf(tunnelOf(security, minTls === "1.2" ? "1.3" : "1.2")),
        "a wrong key under the right name": wrongKey(tunnel, folder),
        "the other kind of key": keyOf(tunnelOf(security === "cert" ? "psk" : "cert", minTls)),
      };
      for (const version of VERSIONS) {
        const attempts = await Promise.all(
          Object.entries(strangers).map(async ([who, credential]) => [who, await attempt(tunnel, version, credential)]),
        );
        const all = Object.keys(strangers).map((who) => [who, { isThrough: false, isHeard: false, isEnded: true }]);
        expect(Object.fromEntries(attempts), `TLS ${version}`).toEqual(Object.fromEntries(all));
        // The way in is there for who has the key: the refusals above are no accident.
        const isTaken = version >= minTls;
        const known = await attempt(tunnel, version, keyOf(tunnel));
        expect(known, `TLS ${version}`).toEqual({ isThrough: isTaken, isHeard: isTaken, isEnded: !isTaken });
      }
    });
  });

  test.each([
    { connections: 11, bytes: 500_000 },
    { connections: 100, bytes: 100_000 },
  ])(
    "carry $connections connections at a time, each heard to its end after it has finished sending",
    async ({ connections, bytes }) => {
      for (const security of SECURITIES) {
        const point = entry(tunnelOf(security, "1.3"), 1);
        const { right, tookMs } = await world.hosts.right.exchange({ ...point, connections, bytes });
        console.log(`${security}: ${connections} × ${bytes / 1000} kB in ${Math.round(tookMs)} ms`);
        expect(right).toBe(connections);
      }
    },
  );

  test("stand ten at a time between the same boxes, in both directions, and leave nothing when they are taken down", async () => {
    const startMs = systemClock.monotonicMs();
    const opened = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        world.open({
          uid: `many-${index}`,
          security: index % 4 < 2 ? "cert" : "psk",
          producer: index % 2 === 0 ? "left" : "right",
          sources: [COUNT_PORT],
        }),
      ),
    );
    console.log(`ten tunnels: up after ${Math.round(systemClock.monotonicMs() - startMs)} ms`);
    const exchanged = await Promise.all(
      opened.map(async (tunnel) => {
        const wish = { ...entry(tunnel, 0), connections: 3, bytes: 200_000 };
        return (await world.hosts[tunnel.site.consumer].exchange(wish)).right;
      }),
    );
    expect(exchanged).toEqual(opened.map(() => 3));
    const downMs = systemClock.monotonicMs();
    await Promise.all(opened.map((tunnel) => tunnel.down()));
    console.log(`ten tunnels: nothing left after ${Math.round(systemClock.monotonicMs() - downMs)} ms`);
  }, 240_000);

  test(
    `keep a connection on which nothing is said for ${IDLE_MS / 1000} s`,
    async () => {
      await systemClock.delay(Math.max(0, idle.sinceMs + IDLE_MS - systemClock.monotonicMs()));
      expect(await idle.connection.isOpen()).toBe(true);
      expect(await idle.connection.say("again")).toBe("again");
    },
    IDLE_MS + 30_000,
  );

  async function captured<Result>(
    act: () => Promise<Result>,
  ): Promise<{ readonly result: Result; readonly seen: Buffer }> {
    await using capture = await world.net.capture();
    const result = await act();
    return { result, seen: await capture.stop() };
  }

  /** Whether a client from the wire gets an answer, and whether the source hears it. */
  async function attempt(tunnel: NetworkTunnel, version: TlsVersion, credential: Credential) {
    const text = `text-${randomBytes(8).toString("hex")}`;
    const [gateway] = tunnel.gateways;
    if (gateway === undefined) throw new RangeError("a leg");
    const place = { namespace: world.net.wireNamespace, ...gateway };
    const { isThrough, isEnded }: IntrusionResult = await intrude({ ...place, version, credential, text });
    return { isThrough, isHeard: await world.hosts.left.hasHeard(ECHO_PORT, text), isEnded };
  }
});

/** What the consumer's end of it has. */
function keyOf(tunnel: NetworkTunnel): Credential {
  const { security } = tunnel.spec("consumer");
  const files = tunnelFiles(tunnel.directory("consumer"));
  if (security.kind === "cert") {
    const path = ownKeyPath(files, security.keyGeneration);
    return { kind: "cert", keyPath: path, certificatePath: path };
  }
  const [key] = security.keys;
  if (key === undefined) throw new RangeError("a key");
  return { kind: "psk", ...key };
}

/** Of the same name as the right one. */
function wrongKey(tunnel: NetworkTunnel, folder: string): Credential {
  const right = keyOf(tunnel);
  if (right.kind === "psk") return { ...right, secret: "ab".repeat(32) };
  if (right.kind === "none") return right;
  const path = join(folder, `${tunnel.uid}.pem`);
  const subject = execFileSync(
    "openssl",
    ["x509", "-in", right.certificatePath, "-noout", "-subject", "-nameopt", "multiline"],
    {
      encoding: "utf8",
    },
  );
  const name = /commonName\s*= (.*)/.exec(subject)?.[1] ?? "";
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path];
  const certificate = ["-out", `${path}.crt`, "-subj", `/CN=${name}`, "-days", "30"];
  execFileSync("openssl", ["req", "-x509", ...key, ...certificate], { stdio: "pipe" });
  return { kind: "cert", keyPath: path, certificatePath: `${path}.crt` };
}

async function publishRtmp(namespace: string, { host, port }: EntryPoint, key: string): Promise<void> {
  const source = ["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2"];
  const encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-bitexact", "-threads", "1"];
  const target = ["-f", "flv", `rtmp://${host}:${port}/live/${key}`];
  const child = spawn("ip", [
    "netns",
    "exec",
    namespace,
    "ffmpeg",
    "-v",
    "error",
    "-nostdin",
    ...source,
    ...encoder,
    ...target,
  ]);
  let said = "";
  child.stderr.on("data", (bytes) => {
    said += bytes.toString();
  });
  const code = await new Promise((done) => child.once("close", done));
  expect(code, said).toBe(0);
}
