import { readFileSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { freePort } from "../../../../test-server/free-port.ts";
import type { TunnelAttack } from "../../../contract/tunnel-status.ts";
import { NOBODY_CERTIFICATE } from "./nobody-certificate.ts";
import { ownKeyPath } from "./tunnel-files.ts";
import { loadAttackerKey } from "./tunnel-keys.ts";
import { createTunnelWorld, type TestEnd, type TunnelWish } from "./tunnel-world.fake.ts";

let world: ReturnType<typeof createTunnelWorld>;
let sourcePort: number;
beforeEach(async () => {
  world = createTunnelWorld();
  sourcePort = await world.serve((socket) => socket.write("hello"));
});
afterEach(() => world.close());

const RIGHT = [
  { kind: "cert", minTls: "1.3" },
  { kind: "cert", minTls: "1.2" },
  { kind: "psk", minTls: "1.3" },
  { kind: "psk", minTls: "1.2" },
] as const;

describe("a tunnel as it is configured here", () => {
  test.for(RIGHT)("is proved at both ends ($kind, TLS $minTls)", async (wish) => {
    const tunnel = await world.createTunnel({ ...wish, sourcePort, legs: 2 });
    const producer = await world.start(tunnel.producer);
    const consumer = await world.start(tunnel.consumer);
    const there = await world.prove(producer);
    let here = await world.prove(consumer);
    // On a busy machine the source's byte may come after the time that it is given.
    for (let round = 1; round < 4 && here.proof.through !== "byte"; round++) here = await world.prove(consumer);
    expect(there).toMatchObject({ isProved: true, needsRestart: false });
    expect(there).not.toHaveProperty("reason");
    expect(here).toMatchObject({
      isProved: true,
      needsRestart: false,
      proof: { protocol: "TLSv1.3", through: "byte" },
    });
    expect(here.proof.cipher).toBe("TLS_AES_128_GCM_SHA256");
    expect(here.proof.peer).toMatch(wish.kind === "cert" ? /^[0-9a-f]{64}$/ : /^t\d+\.1$/);
    const tried = [...there.proof.attacks, ...here.proof.attacks].map(({ attack }) => attack);
    const both = ["null-cipher", "anonymous-cipher", "old-tls", "open-listener", "no-certificate", "wrong-certificate"];
    expect(tried).toEqual(expect.arrayContaining([...both, "plain-text", "rogue-peer"]));
    expect(tried.includes("wrong-key")).toBe(wish.kind === "psk");
  });

  test("is proved by a connection that is kept, where the source waits for the first word", async () => {
    const silent = await world.serve(() => undefined);
    const tunnel = await world.createTunnel({ sourcePort: silent });
    await world.start(tunnel.producer);
    const consumer = await world.start(tunnel.consumer);
    expect(await world.prove(consumer)).toMatchObject({ isProved: true, proof: { through: "handshake" } });
  });

  test("is proved over IPv6, however the address is spelt", async () => {
    const tunnel = await world.createTunnel({ sourcePort, address: "0:0:0:0:0:0:0:1" });
    const producer = await world.start(tunnel.producer);
    const consumer = await world.start(tunnel.consumer);
    expect(await world.prove(producer)).toMatchObject({ isProved: true });
    expect(await world.prove(consumer)).toMatchObject({ isProved: true, proof: { through: "byte" } });
  });

  test("is not proved by the process of another tunnel", async () => {
    const tunnel = await world.createTunnel({ sourcePort });
    const other = await world.createTunnel({ sourcePort });
    const stranger = await world.start(other.producer);
    const verdict = await world.prove({ ...stranger, ...tunnel.producer });
    expect(verdict).toMatchObject({ isProved: false, needsRestart: true });
    expect(verdict.reason).toContain(`runs another configuration than ${tunnel.producer.files.configPath}`);
  });

  test("is not proved while its source turns everybody away, and says so", async () => {
    const closed = await freePort();
    const tunnel = await world.createTunnel({ sourcePort: closed });
    await world.start(tunnel.producer);
    const consumer = await world.start(tunnel.consumer);
    const verdict = await world.prove(consumer);
    expect(verdict).toMatchObject({ isProved: false, needsRestart: false, proof: { protocol: "TLSv1.3" } });
    expect(verdict.proof).not.toHaveProperty("through");
    expect(verdict.reason).toContain("is ended at once: nothing takes it behind the tunnel");
  });

  test("is not proved while the producer's end is away, and names the address", async () => {
    const tunnel = await world.createTunnel({ sourcePort });
    const consumer = await world.start(tunnel.consumer);
    const verdict = await world.prove(consumer);
    expect(verdict).toMatchObject({ isProved: false, needsRestart: false });
    expect(verdict.reason).toContain(`127.0.0.1:${tunnel.gateways[0]}: no handshake with the peer (`);
  });

  test("is not proved when another producer has taken the peer's place", async () => {
    const tunnel = await world.createTunnel({ sourcePort });
    const other = await world.createTunnel({ sourcePort });
    const at = (port: number | undefined) => `127.0.0.1:${port}`;
    await world.start(move(other.producer, tunnel.producer), (text) =>
      text.replace(at(other.gateways[0]), at(tunnel.gateways[0])),
    );
    const consumer = await world.start(tunnel.consumer);
    const verdict = await world.prove(consumer);
    expect(verdict).toMatchObject({ isProved: false, needsRestart: false });
    expect(verdict.reason).toMatch(/the peer shows certificate [0-9a-f]{64}, pinned is [0-9a-f]{64}/);
  });

  test("needs a new start when its process is gone", async () => {
    const tunnel = await world.createTunnel({ sourcePort });
    const producer = await world.start(tunnel.producer);
    producer.signal("SIGKILL");
    await producer.exited;
    expect(await world.prove(producer)).toMatchObject({ isProved: false, needsRestart: true });
  });
});

function move(end: TestEnd, to: TestEnd): TestEnd {
  return { ...end, spec: { ...end.spec, legs: to.spec.legs } };
}

type Spoil = (text: string, end: TestEnd) => string;
/** Every line with this option becomes this, or goes. */
const set =
  (name: string, value?: string): Spoil =>
  (text) =>
    text.replace(new RegExp(`^${name} = .*\n`, "gm"), value === undefined ? "" : `${name} = ${value}\n`);
const add =
  (...lines: string[]): Spoil =>
  (text) =>
    `${text}${lines.join("\n")}\n`;
const all =
  (...spoils: readonly Spoil[]): Spoil =>
  (text, end) =>
    spoils.reduce((whole, spoil) => spoil(whole, end), text);
const unverified = all(set("verifyPeer", "no"), set("requireCert", "no"));
const weak = all(set("securityLevel", "0"), set("sslVersionMin", "TLSv1"));
/** No suite that signs with EC keys is left out of what is weak. */
const NULLS = "eNULL:aNULL";

interface Wrong extends Omit<TunnelWish, "sourcePort"> {
  readonly name: string;
  readonly end: "producer" | "consumer";
  readonly spoil: Spoil;
  /** The attack that comes through, or what the reason says. */
  readonly caught: TunnelAttack | RegExp;
}

const WRONG: readonly Wrong[] = [
  { name: "nobody is verified", end: "producer", spoil: unverified, caught: "no-certificate" },
  {
    name: "a certificate is asked for and not compared",
    end: "producer",
    spoil: set("verifyPeer", "no"),
    caught: "wrong-certificate",
  },
  {
    name: "a certificate is compared only where there is one",
    end: "producer",
    spoil: all(unverified, add("verify = 1")),
    caught: "no-certificate",
  },
  {
    name: "its own certificate is pinned",
    end: "producer",
    spoil: (text, { files }) => set("CAfile", ownKeyPath(files, 1))(text, { files } as TestEnd),
    caught: "wrong-certificate",
  },
  {
    name: "another certificate is pinned too",
    end: "producer",
    spoil: (text, { files }) => {
      writeFileSync(files.peersPath, `${readFileSync(files.peersPath, "utf8")}${NOBODY_CERTIFICATE}`);
      return text;
    },
    caught: /other certificates are accepted/,
  },
  {
    name: "only the chain is verified",
    end: "producer",
    spoil: all(set("verifyPeer", "no"), add("verifyChain = yes")),
    caught: /verifyPeer = no, where it must be yes/,
  },
  {
    name: "who is not verified is led on to the source",
    end: "producer",
    spoil: (text) => `${text}redirect = ${/^connect = (.*)$/m.exec(text)?.[1]}\n`,
    caught: "no-certificate",
  },
  {
    name: "TLS 1.2 is taken where 1.3 is asked for",
    end: "producer",
    spoil: set("sslVersionMin", "TLSv1.2"),
    caught: "old-tls",
  },
  {
    name: "TLS 1.1 is taken",
    end: "producer",
    minTls: "1.2",
    spoil: all(weak, set("ciphers", "ALL")),
    caught: "old-tls",
  },
  {
    name: "ciphers that encrypt nothing are taken",
    end: "producer",
    spoil: all(weak, set("ciphers", "eNULL")),
    caught: "null-cipher",
  },
  {
    name: "anonymous ciphers are taken",
    end: "producer",
    spoil: all(weak, set("ciphers", "aNULL")),
    caught: "anonymous-cipher",
  },
  {
    name: "the anonymous cipher that encrypts nothing is all there is",
    end: "producer",
    kind: "psk",
    spoil: all(weak, unverified, set("sslVersionMax", "TLSv1.2"), set("ciphers", "AECDH-NULL-SHA")),
    caught: "anonymous-cipher",
  },
  {
    name: "it listens on every address",
    end: "producer",
    spoil: (text) => text.replace("accept = 127.0.0.1", "accept = 0.0.0.0"),
    caught: "open-listener",
  },
  {
    name: "it serves in plain text",
    end: "producer",
    spoil: all(set("client", "yes"), set("connect", "127.0.0.1:9")),
    caught: "plain-text",
  },
  {
    name: "with a shared key, a certificate of anybody's is as good",
    end: "producer",
    kind: "psk",
    spoil: (text, { files }) => all(unverified, add(`cert = ${files.attackerPath}`))(text, { files } as TestEnd),
    caught: "no-certificate",
  },
  {
    name: "a shared key without encryption is taken",
    end: "producer",
    kind: "psk",
    minTls: "1.2",
    spoil: all(weak, set("ciphers", "ECDHE-PSK-NULL-SHA256")),
    caught: "null-cipher",
  },
  {
    name: "a short key of somebody else's is taken too",
    end: "producer",
    kind: "psk",
    spoil: (text, { files }) => {
      writeFileSync(
        files.secretsPath,
        `${readFileSync(files.secretsPath, "utf8")}guest:00112233445566778899aabbccddeeff\n`,
      );
      return text;
    },
    caught: /other shared keys are accepted/,
  },
  { name: "the client verifies nobody", end: "consumer", spoil: unverified, caught: "rogue-peer" },
  {
    name: "the client believes whoever has the same name",
    end: "consumer",
    spoil: (text, { files }) => all(set("CAfile", files.attackerPath))(text, { files } as TestEnd),
    caught: "rogue-peer",
  },
  {
    name: "the client of a shared key verifies nobody",
    end: "consumer",
    kind: "psk",
    spoil: unverified,
    caught: "rogue-peer",
  },
  {
    name: "the client offers to encrypt nothing",
    end: "consumer",
    spoil: all(weak, set("ciphers", NULLS)),
    caught: "null-cipher",
  },
  {
    name: "the client offers anonymous ciphers",
    end: "consumer",
    spoil: all(weak, set("ciphers", "ALL:aNULL")),
    caught: "anonymous-cipher",
  },
  {
    name: "the client offers TLS 1.2 where 1.3 is asked for",
    end: "consumer",
    spoil: set("sslVersionMin", "TLSv1.2"),
    caught: "old-tls",
  },
  {
    name: "the entry point is open to every address",
    end: "consumer",
    spoil: (text) => text.replace("accept = 127.0.0.1", "accept = 0.0.0.0"),
    caught: "open-listener",
  },
  {
    name: "the client has another tunnel's key",
    end: "consumer",
    spoil: (text, { files }) =>
      all(set("cert", files.attackerPath), set("key", files.attackerPath))(text, { files } as TestEnd),
    caught: /is ended at once/,
  },
];

describe("the proof catches that", () => {
  test.for(WRONG)("$name", async ({ end: name, spoil, caught, kind = "cert", minTls = "1.3" }) => {
    const tunnel = await world.createTunnel({ kind, minTls, sourcePort });
    const { security } = tunnel[name].spec;
    const likeness = security.kind === "cert" ? security.peerCertificates[0] : undefined;
    await loadAttackerKey({ files: tunnel[name].files, likeness }, world.keyDeps);
    if (name === "consumer") await world.start(tunnel.producer);
    const end = await world.start(tunnel[name], (text) => spoil(text, tunnel[name]));
    const verdict = await world.prove(end);
    expect(verdict.isProved).toBe(false);
    if (caught instanceof RegExp) expect(verdict.reason).toMatch(caught);
    else {
      const passed = verdict.proof.attacks.filter(({ isRefused }) => !isRefused).map(({ attack }) => attack);
      expect(passed, verdict.reason).toContain(caught);
      expect(verdict.reason).toContain(`not refused: ${caught} (`);
    }
  });
});
