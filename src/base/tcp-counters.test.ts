import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { counterOf, readTcpTrouble } from "./tcp-counters.ts";

const SNMP = `Ip: Forwarding DefaultTTL
Ip: 1 64
Tcp: RtoAlgorithm MaxConn RetransSegs InErrs
Tcp: 1 -1 499 0
Udp: InDatagrams
Udp: 7
`;

describe("a counter of the kernel's", () => {
  test("is found below its name, in its own family", () => {
    expect(counterOf(SNMP, "Tcp", "RetransSegs")).toBe(499);
    expect(counterOf(SNMP, "Udp", "InDatagrams")).toBe(7);
  });

  test.each([
    ["a name that this kernel does not have", SNMP, "Tcp", "TCPWinProbe"],
    ["a family that it does not have", SNMP, "TcpExt", "RetransSegs"],
    ["names without numbers", "Tcp: RetransSegs", "Tcp", "RetransSegs"],
    ["the family's own name", SNMP, "Tcp", "Tcp:"],
    ["nothing", "", "Tcp", "RetransSegs"],
  ])("is unknown: %s", (_, text, family, name) => {
    expect(counterOf(text, family, name)).toBeUndefined();
  });
});

test("a peer that stops reading is noticed within the retransmission timeout", async () => {
  const peers: Socket[] = [];
  const server = createServer({ pauseOnConnect: true }, (accepted) => {
    accepted.on("error", () => undefined);
    peers.push(accepted);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const client = connect(typeof address === "object" && address !== null ? address.port : 0, "127.0.0.1");
  client.on("error", () => undefined);
  await once(client, "connect");
  const before = readTcpTrouble("/proc/self/net") ?? Number.NaN;
  client.write(Buffer.alloc(32 * 1024 * 1024));
  await expect.poll(() => readTcpTrouble("/proc/self/net")).toBeGreaterThan(before);
  client.destroy();
  for (const peer of peers) peer.destroy();
  server.close();
});

test("a kernel that hides its counters leaves them unknown", () => {
  expect(readTcpTrouble("/nowhere")).toBeUndefined();
});
