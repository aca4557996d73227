import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createFakeClock, type FakeClock } from "../../../base/clock.fake.ts";
import { readLocalSockets } from "../../../base/local-sockets.ts";
import type { SocketTable } from "../../../base/socket-table.ts";
import { type TunnelSpec, tunnelSpecSchema } from "../../../contract/tunnel-spec.ts";
import { tunnelFiles } from "./tunnel-files.ts";
import { createTunnelProver } from "./tunnel-prover.ts";

let server: Server;
let spec: TunnelSpec;
let clock: FakeClock;
/** What was asked of the kernel's list. */
let asked: { readonly maxAgeMs: number; readonly needsV6: boolean }[];
const signal = new AbortController().signal;

// This process is the one that is proved: it listens where the end should.
beforeEach(async () => {
  server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  const legs = [{ listen: { address: "127.0.0.1", port }, connect: { host: "127.0.0.1", port: 9 } }];
  const security = { kind: "cert", keyGeneration: 1, peerCertificates: [] };
  spec = tunnelSpecSchema.parse({ uid: "t-1", role: "producer", legs, security });
  clock = createFakeClock();
  asked = [];
});
afterEach(() => new Promise((resolve) => server.close(resolve)));

function prover(list: (maxAgeMs: number) => ReturnType<SocketTable["read"]>) {
  const proof = { at: "2026-01-15T10:30:45.000Z", tookMs: 1, attacks: [] };
  return createTunnelProver(
    { pid: process.pid, files: tunnelFiles("/nowhere"), stunnelPath: "stunnel", proofPeriodMs: 180_000 },
    {
      clock,
      runProgram: () => Promise.reject(new Error("it starts nothing")),
      sockets: {
        read: (wish) => {
          asked.push(wish);
          return list(wish.maxAgeMs);
        },
      },
      prove: () => Promise.resolve({ proof, isProved: true, needsRestart: false }),
      checkPeer: () => Promise.resolve({ isTrusted: true }),
    },
  );
}

test("a listener that is not in a list that others have read is looked for in one of its own before anything is said", async () => {
  const one = prover((maxAgeMs) => (maxAgeMs >= 1000 ? [] : readLocalSockets()));
  await one.step(spec, signal);
  expect([one.isProved(), one.finding()]).toEqual([true, undefined]);
  await clock.advance(20_000);
  one.doubt(true);
  asked = [];
  await one.step(spec, signal);
  expect([one.isProved(), one.finding()]).toEqual([true, undefined]);
  // A process that has been up for long and has just read its files again: nothing but this very moment counts.
  expect(asked.map(({ maxAgeMs }) => maxAgeMs)).toEqual([1000, 0]);
});

test("a process that does not listen is given five seconds, and is then the fault that a restart helps", async () => {
  const one = prover(() => []);
  await one.step(spec, signal);
  expect([one.isProved(), one.finding()]).toEqual([undefined, undefined]);
  await clock.advance(6000);
  await one.step(spec, signal);
  expect(one.finding()).toMatchObject({ cause: "not-listening", needsRestart: true });
});

test("who pokes it between two looks costs no reading, and IPv6 is read only for legs of it", async () => {
  const one = prover(() => readLocalSockets());
  for (let poke = 0; poke < 10; poke++) await one.step(spec, signal);
  expect(asked).toEqual([{ maxAgeMs: 1000, needsV6: false }]);
  await clock.advance(5000);
  const legs = spec.legs.map((leg) => ({ ...leg, listen: { ...leg.listen, address: "::1" } }));
  await one.step({ ...spec, legs }, signal);
  expect(asked[1]).toEqual({ maxAgeMs: 1000, needsV6: true });
});
