import { describe, expect, test } from "vitest";
import { type TunnelSpec, tunnelSpecSchema } from "../../../contract/tunnel-spec.ts";
import { NOBODY_CERTIFICATE } from "./nobody-certificate.ts";
import { legName, stunnelConfig } from "./stunnel-config.ts";
import { findMisplacedTrust, optionOf, parseStunnelConfig } from "./trust-check.ts";
import { acceptedCertificates, sharedSecrets } from "./trusted-material.ts";
import { tunnelFiles } from "./tunnel-files.ts";

const files = tunnelFiles("/var/lib/sluice/workloads/t1.consumer");

function specOf(changes: Partial<TunnelSpec> = {}): TunnelSpec {
  return tunnelSpecSchema.parse({
    uid: "t1",
    role: "consumer",
    legs: [
      { listen: { address: "127.0.0.1", port: 5100 }, connect: { host: "198.51.100.7", port: 20000 } },
      { listen: { address: "::1", port: 5101 }, connect: { host: "gate.example", port: 20001 } },
    ],
    security: { kind: "cert", keyGeneration: 2, peerCertificates: [NOBODY_CERTIFICATE] },
    ...changes,
  });
}

const PSK = {
  kind: "psk",
  keys: [
    { identity: "t1.2", secret: "ab".repeat(32) },
    { identity: "t1.1", secret: "cd".repeat(32) },
  ],
} as const;

describe("the configuration", () => {
  test("has one service a leg, each on exactly the address that was asked for", () => {
    const { services } = parseStunnelConfig(stunnelConfig(specOf(), files));
    expect(
      services.map((service) => [service.name, optionOf(service, "accept"), optionOf(service, "connect")]),
    ).toEqual([
      [legName(0), "127.0.0.1:5100", "198.51.100.7:20000"],
      [legName(1), "::1:5101", "gate.example:20001"],
    ]);
  });

  test("looks names up late and addresses at once", () => {
    const { services } = parseStunnelConfig(stunnelConfig(specOf(), files));
    expect(services.map((service) => optionOf(service, "delay"))).toEqual(["no", "yes"]);
  });

  test("takes TLS 1.3 unless 1.2 is allowed", () => {
    const least = (spec: TunnelSpec) =>
      optionOf(parseStunnelConfig(stunnelConfig(spec, files)).services[0] ?? EMPTY, "sslVersionMin");
    expect(least(specOf())).toBe("TLSv1.3");
    expect(least(specOf({ minTls: "1.2" }))).toBe("TLSv1.2");
  });

  test("names the own key by its generation and shows no secret", () => {
    expect(stunnelConfig(specOf(), files)).toContain(`cert = ${files.directory}/own-2.pem\n`);
    const text = stunnelConfig(specOf({ security: { ...PSK, keys: [...PSK.keys] } }), files);
    expect(text).not.toContain("abab");
    expect(text).toContain("PSKidentity = t1.2\n");
  });
});

const EMPTY = { name: "", options: [] };

describe("misplaced trust", () => {
  const cert = specOf();
  const psk = specOf({ security: { ...PSK, keys: [...PSK.keys] } });
  const evidenceOf = (spec: TunnelSpec, spoil: (text: string) => string = (text) => text) => ({
    configText: spoil(stunnelConfig(spec, files)),
    peersText: acceptedCertificates(spec),
    secretsText: sharedSecrets(spec),
  });

  test("is not in what is written here", () => {
    for (const spec of [cert, psk]) expect(findMisplacedTrust(spec, files, evidenceOf(spec))).toBeUndefined();
  });

  test.for([
    {
      name: "a service too many",
      spoil: (text: string) => `${text}[extra]\naccept = 1\n`,
      says: "3 services are configured for 2 legs",
    },
    {
      name: "no verification",
      spoil: (text: string) => text.replace("verifyPeer = yes", "verifyPeer = no"),
      says: "[leg0] has verifyPeer = no, where it must be yes",
    },
    {
      name: "a last word for all",
      spoil: (text: string) => `${text}verifyPeer = no\n`,
      says: "[leg1] has verifyPeer = no, where it must be yes",
    },
    {
      name: "an own directory of authorities",
      spoil: (text: string) => `${text}CApath = /etc/ssl/certs\n`,
      says: "[leg1] has CApath = /etc/ssl/certs, where it must be nothing",
    },
    {
      name: "a shared key beside certificates",
      spoil: (text: string) => `PSKsecrets = /tmp/x\n${text}`,
      says: "[leg0] has PSKsecrets = /tmp/x, where it must be nothing",
    },
  ])("is $name", ({ spoil, says }) => {
    expect(findMisplacedTrust(cert, files, evidenceOf(cert, spoil))).toBe(says);
  });

  test("is a certificate or a key more than there should be", () => {
    expect(findMisplacedTrust(cert, files, { ...evidenceOf(cert), peersText: NOBODY_CERTIFICATE.repeat(2) })).toContain(
      "other certificates",
    );
    expect(findMisplacedTrust(psk, files, { ...evidenceOf(psk), secretsText: `guest:${"00".repeat(16)}\n` })).toContain(
      "other shared keys",
    );
  });
});
