import { describe, expect, test } from "vitest";
import { type TunnelSpec, tunnelSpecSchema } from "../../../contract/tunnel-spec.ts";
import { admitTunnel } from "./tunnel-admission.ts";

const OPEN = { tunnelSources: [] };
const key = (identity: string, secret = "ab".repeat(32)) => ({ identity, secret });

function spec(change: Partial<TunnelSpec> = {}): TunnelSpec {
  return tunnelSpecSchema.parse({
    uid: "t-1",
    role: "producer",
    legs: [{ listen: { address: "10.0.0.1", port: 20_000 }, connect: { host: "camera.local", port: 554 } }],
    security: { kind: "psk", keys: [key("t-1.1")] },
    ...change,
  });
}

const leg = (listen: string, port: number, host: string, to: number) => ({
  listen: { address: listen, port },
  connect: { host, port: to },
});

describe("an end of a tunnel is admitted", () => {
  test("when it is sane and the box names no sources, or the one it leads to", () => {
    expect(admitTunnel(spec(), OPEN)).toBeUndefined();
    expect(admitTunnel(spec(), { tunnelSources: ["CAMERA.local"] })).toBeUndefined();
    expect(admitTunnel(spec(), { tunnelSources: ["*.local"] })).toBeUndefined();
    // Where a consumer's end goes is the producer's gateway, and no source.
    expect(admitTunnel(spec({ role: "consumer" }), { tunnelSources: ["10.9.9.9"] })).toBeUndefined();
  });
});

describe("it is refused, by rule and field,", () => {
  test.each<[string, Partial<TunnelSpec>, string]>([
    [
      "for two legs with one listening point",
      { legs: [leg("10.0.0.1", 5100, "a", 1), leg("10.0.0.1", 5100, "b", 2)] },
      "legs[1].listen: 10.0.0.1:5100 is that of legs[0] too; allowed: each leg its own",
    ],
    [
      "for a leg that leads back to itself",
      { legs: [leg("127.0.0.1", 5100, "localhost", 5100)] },
      "legs[0].connect: localhost:5100 is where this end itself listens; allowed: another place",
    ],
    [
      "for a leg that leads to another leg of it",
      { legs: [leg("::1", 5100, "x", 9), leg("10.0.0.1", 5101, "::1", 5100)] },
      "legs[1].connect: [::1]:5100 is where this end itself listens; allowed: another place",
    ],
    [
      "for a key that is masked",
      { security: { kind: "psk", keys: [key("t-1.1", "***")] } },
      "security.keys[0].secret: given a mask; allowed: 64 hexadecimal digits",
    ],
    [
      "for two keys of one name",
      { security: { kind: "psk", keys: [key("t-1.1"), key("t-1.1", "cd".repeat(32))] } },
      "security.keys[1].identity: is that of keys[0] too; allowed: each key its own",
    ],
    [
      "for a next key that is not newer",
      { security: { kind: "cert", keyGeneration: 2, nextKeyGeneration: 2, peerCertificates: [] } },
      "security.nextKeyGeneration: given 2; allowed: more than keyGeneration, which is 2",
    ],
    [
      "for a certificate that is none",
      {
        security: {
          kind: "cert",
          keyGeneration: 1,
          peerCertificates: ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
        },
      },
      "security.peerCertificates[0]: is no certificate; allowed: X.509 in PEM form",
    ],
  ])("%s", (_title, change, message) => {
    expect(admitTunnel(spec(change), OPEN)).toEqual({ rule: "spec", message });
  });

  test("for a source that the box does not allow", () => {
    expect(admitTunnel(spec(), { tunnelSources: ["10.0.0.7", "*.example.com"] })).toEqual({
      rule: "policy.tunnelSources",
      message: "legs[0].connect.host: camera.local is not allowed; allowed: 10.0.0.7, *.example.com",
    });
  });
});
