import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadTunnelKey, sha256Of } from "./tunnel-keys.ts";
import { readTunnelTraffic } from "./tunnel-traffic.ts";
import { createTunnelWorld, eventually, type RunningEnd, type TestEnd } from "./tunnel-world.fake.ts";
import { writeTunnelFiles } from "./write-tunnel-files.ts";

let world: ReturnType<typeof createTunnelWorld>;
beforeEach(() => {
  world = createTunnelWorld();
});
afterEach(() => world.close());

/** Sends so many bytes, says that it has finished, and gives back what comes until the other side has finished too. */
function exchange(port: number, bytes: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = "";
    const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => {
      received += text;
    });
    socket.once("end", () => resolve(received));
    socket.once("error", reject);
    socket.end(Buffer.alloc(bytes, 7));
  });
}

/** Answers only when everything has come. */
const counting = () =>
  world.serve((socket) => {
    let bytes = 0;
    socket.on("data", (chunk) => {
      bytes += chunk.length;
    });
    socket.once("end", () => socket.end(`${bytes} bytes`));
  });

async function startBoth(tunnel: {
  readonly producer: TestEnd;
  readonly consumer: TestEnd;
}): Promise<[RunningEnd, RunningEnd]> {
  return [await world.start(tunnel.producer), await world.start(tunnel.consumer)];
}

test.for([
  { kind: "cert", minTls: "1.3" },
  { kind: "cert", minTls: "1.2" },
  { kind: "psk", minTls: "1.3" },
] as const)("who has finished sending still hears the answer ($kind, TLS $minTls)", async (wish) => {
  const tunnel = await world.createTunnel({ ...wish, sourcePort: await counting() });
  await startBoth(tunnel);
  expect(await exchange(tunnel.entries[0] ?? 0, 3_000_000)).toBe("3000000 bytes");
});

test("carries a hundred connections at a time through one leg", async () => {
  const tunnel = await world.createTunnel({ sourcePort: await counting() });
  const [, consumer] = await startBoth(tunnel);
  const answers = await Promise.all(Array.from({ length: 100 }, () => exchange(tunnel.entries[0] ?? 0, 50_000)));
  expect(new Set(answers)).toEqual(new Set(["50000 bytes"]));
  expect(readTunnelTraffic(consumer.pid, consumer.spec)).toMatchObject({ connections: 0 });
});

test("takes new certificates without dropping what is connected, and then no longer the old ones", async () => {
  const echo = await world.serve((socket) => socket.pipe(socket));
  const tunnel = await world.createTunnel({ sourcePort: echo });
  const [producer, consumer] = await startBoth(tunnel);
  const open = connect({ host: "127.0.0.1", port: tunnel.entries[0] ?? 0 });
  open.on("error", () => undefined);
  open.setEncoding("utf8");
  let heard = "";
  open.on("data", (text: string) => {
    heard += text;
  });
  open.write("one,");
  await eventually(() => heard === "one,");

  const next = await loadTunnelKey(
    { files: consumer.files, uid: consumer.spec.uid, role: "consumer", generation: 2 },
    world.keyDeps,
  );
  const { security } = consumer.spec;
  if (security.kind !== "cert") throw new RangeError("a tunnel of certificates");
  const turned = { ...consumer, spec: { ...consumer.spec, security: { ...security, keyGeneration: 2 } } };
  const reload = async (end: RunningEnd, text: string) => {
    const before = end.log().split(text).length;
    await writeTunnelFiles(end.spec, end.files);
    end.signal("SIGHUP");
    await eventually(() => end.log().split(text).length > before);
  };
  await reload(turned, "Configuration successful");
  expect(await world.prove({ ...turned, pid: consumer.pid })).toMatchObject({ isProved: false });
  const trusting: RunningEnd = {
    ...producer,
    spec: { ...producer.spec, security: { kind: "cert", keyGeneration: 1, peerCertificates: [next.pem] } },
  };
  await reload(trusting, "Configuration successful");
  expect(await world.prove(turned)).toMatchObject({ isProved: true });
  expect(await world.prove(trusting)).toMatchObject({ isProved: true });
  expect(await world.prove(consumer)).toMatchObject({ isProved: false });

  open.write("two");
  await eventually(() => heard === "one,two");
  open.destroy();
});

test("shows how much went through and how many are connected, from outside", async () => {
  const echo = await world.serve((socket) => socket.pipe(socket));
  const tunnel = await world.createTunnel({ sourcePort: echo });
  const [producer, consumer] = await startBoth(tunnel);
  const before = readTunnelTraffic(consumer.pid, consumer.spec);
  const beforeThere = readTunnelTraffic(producer.pid, producer.spec);
  const sockets = [1, 2, 3].map(() => connect({ host: "127.0.0.1", port: tunnel.entries[0] ?? 0 }));
  let received = 0;
  for (const socket of sockets) {
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      received += chunk.length;
    });
    socket.write(Buffer.alloc(1_000_000));
  }
  await eventually(() => received === 3_000_000);
  for (const [end, earlier] of [
    [consumer, before],
    [producer, beforeThere],
  ] as const) {
    const traffic = readTunnelTraffic(end.pid, end.spec);
    expect(traffic?.connections).toBe(3);
    const bytes = (traffic?.bytes ?? 0) - (earlier?.bytes ?? 0);
    expect(bytes).toBeGreaterThan(6_000_000);
    expect(bytes).toBeLessThan(6_000_000 * 1.03);
  }
  for (const socket of sockets) socket.destroy();
  await eventually(() => readTunnelTraffic(consumer.pid, consumer.spec)?.connections === 0);
  consumer.signal("SIGKILL");
  await consumer.exited;
  expect(readTunnelTraffic(consumer.pid, consumer.spec)).toBeUndefined();
});

test.for(["cert", "psk"] as const)(
  "keeps its secrets in files of mode 0600 and shows them nowhere else (%s)",
  async (kind) => {
    const tunnel = await world.createTunnel({ kind, sourcePort: await counting() });
    const ends = await startBoth(tunnel);
    await exchange(tunnel.entries[0] ?? 0, 1000);
    for (const end of ends) {
      await world.prove(end);
      const { directory, secretsPath } = end.files;
      for (const name of readdirSync(directory)) {
        expect(statSync(join(directory, name)).mode & 0o777, name).toBe(0o600);
      }
      expect(statSync(directory).mode & 0o777).toBe(0o700);
      const text = readFileSync(kind === "psk" ? secretsPath : join(directory, "own-1.pem"), "utf8");
      const secrets = kind === "psk" ? [text.split(":")[1]?.trim() ?? ""] : text.split("\n").slice(1, 3);
      for (const secret of secrets) {
        expect(secret.length).toBeGreaterThan(30);
        for (const place of ["cmdline", "environ"]) {
          expect(readFileSync(`/proc/${end.pid}/${place}`, "utf8")).not.toContain(secret);
        }
        expect(end.log()).not.toContain(secret);
        expect(readFileSync(end.files.configPath, "utf8")).not.toContain(secret);
      }
    }
  },
);

test("a pinned certificate outside its days is refused, so that ours have no end", async () => {
  const sourcePort = await counting();
  for (const { days, isTaken } of [
    { days: ["20000101000000Z", "20010101000000Z"], isTaken: false },
    { days: ["29990101000000Z", "30000101000000Z"], isTaken: false },
    { days: ["19700101000000Z", "99991231235959Z"], isTaken: true },
  ]) {
    const tunnel = await world.createTunnel({ sourcePort });
    const { files, spec } = tunnel.producer;
    const path = join(files.directory, "own-1.pem");
    redate(path, days, files.directory);
    const pem = /-----BEGIN CERT.*/s.exec(readFileSync(path, "utf8"))?.[0] ?? "";
    if (tunnel.consumer.spec.security.kind !== "cert") throw new RangeError("a tunnel of certificates");
    const security = { ...tunnel.consumer.spec.security, peerCertificates: [pem] };
    const consumerSpec = { ...tunnel.consumer.spec, security };
    await writeTunnelFiles(consumerSpec, tunnel.consumer.files);
    expect(sha256Of(pem)).toMatch(/^[0-9a-f]{64}$/);
    await world.start({ spec, files });
    await world.start({ spec: consumerSpec, files: tunnel.consumer.files });
    const answer = exchange(tunnel.entries[0] ?? 0, 1000);
    if (isTaken) expect(await answer).toBe("1000 bytes");
    else await expect(answer).rejects.toThrow("ECONNRESET");
  }
});

/** The same key under a certificate of other days. */
function redate(path: string, [from = "", to = ""]: readonly string[], directory: string): void {
  const script = `
    cd "$1" && mkdir issue && : > issue/issued.txt
    printf '[req]\\ndistinguished_name = n\\nprompt = no\\n[n]\\nCN = dated\\n[ca]\\ndefault_ca = s\\n[s]\\ndatabase = issue/issued.txt\\nrand_serial = yes\\ndefault_md = sha256\\npolicy = p\\nnew_certs_dir = issue\\n[p]\\ncommonName = supplied\\n' > issue/cnf
    openssl req -new -config issue/cnf -key "$2" -out issue/request.pem
    openssl ca -selfsign -batch -notext -config issue/cnf -keyfile "$2" -in issue/request.pem -startdate "$3" -enddate "$4" -out issue/certificate.pem
    openssl pkey -in "$2" -out issue/key.pem
    cat issue/key.pem issue/certificate.pem > "$2" && rm -r issue`;
  const { status, stderr } = spawnSync("sh", ["-ec", script, "redate", directory, path, from, to], {
    encoding: "utf8",
  });
  if (status !== 0) throw new RangeError(stderr);
}
