import { expect, test } from "vitest";
import { type TunnelSpec, tunnelSpecSchema } from "../../../contract/tunnel-spec.ts";
import { createTunnelDriver, tunnelSpecHash } from "./tunnel-driver.ts";

const SPEC = tunnelSpecSchema.parse({
  uid: "t-1",
  role: "producer",
  legs: [{ listen: { address: "10.0.0.1", port: 20_000 }, connect: { host: "127.0.0.1", port: 554 } }],
  security: { kind: "psk", keys: [{ identity: "t-1.1", secret: "ab".repeat(32) }] },
});

test.each<[string, Partial<TunnelSpec>]>([
  ["another key", { security: { kind: "psk", keys: [{ identity: "t-1.2", secret: "cd".repeat(32) }] } }],
  ["an end of its lifetime", { endsAt: "2027-01-01T00:00:00Z" }],
])("%s is no new spec: the running process goes on", (_what, change) => {
  expect(tunnelSpecHash({ ...SPEC, ...change })).toBe(tunnelSpecHash(SPEC));
});

test("new generations and certificates are no new spec either", () => {
  const cert = (keyGeneration: number, peerCertificates: readonly string[]): TunnelSpec => ({
    ...SPEC,
    security: {
      kind: "cert",
      keyGeneration,
      nextKeyGeneration: keyGeneration + 1,
      peerCertificates: [...peerCertificates],
    },
  });
  expect(tunnelSpecHash(cert(2, ["pem"]))).toBe(tunnelSpecHash(cert(1, [])));
});

test.each<[string, Partial<TunnelSpec>]>([
  ["other ways", { legs: [{ listen: { address: "10.0.0.1", port: 20_001 }, connect: { host: "a", port: 1 } }] }],
  ["another kind of keys", { security: { kind: "cert", keyGeneration: 1, peerCertificates: [] } }],
  ["an older TLS", { minTls: "1.2" }],
  ["the other role", { role: "consumer" }],
])("%s need a new process", (_what, change) => {
  expect(tunnelSpecHash({ ...SPEC, ...change })).not.toBe(tunnelSpecHash(SPEC));
});

test("it claims each of its own ports, teaches its keys to the redactor, and says what it is without them", () => {
  const driver = createTunnelDriver(
    { stunnelPath: "stunnel", policy: { tunnelSources: [] } },
    {
      runProgram: () => Promise.reject(new Error("nothing is run")),
      healthOf: () => ({ isWorking: false, finding: undefined }),
      onWritten: () => undefined,
    },
  );
  const workload = { kind: "tunnel", id: "t-1.producer", spec: SPEC } as const;
  expect(driver.claims(workload)).toMatchObject([{ kind: "port", label: "tcp 10.0.0.1:20000", isExclusive: true }]);
  expect(driver.secrets(workload).values).toEqual(["ab".repeat(32)]);
  expect(driver.describe(workload)).toBe("tunnel t-1, producer's end: 10.0.0.1:20000 → 127.0.0.1:554");
});
