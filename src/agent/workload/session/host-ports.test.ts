import { createServer, type Server } from "node:net";
import { afterEach, expect, test } from "vitest";
import { createHostPorts } from "./host-ports.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function listen(): Promise<number> {
  const server = createServer();
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

test("ports come from the range, each to one session, and none that somebody listens on or another session has", async () => {
  const from = await listen();
  const ports = createHostPorts(
    { address: "127.0.0.1", ports: { from, to: from + 30 } },
    { taken: (id) => (id === "a" ? [from + 1] : []) },
  );
  const [one, two] = [
    await ports.place("a", [{ port: 80 }, { port: 53, protocol: "udp" }]),
    await ports.place("b", [{ port: 80 }]),
  ];
  const all = [...one, ...two].map(({ hostPort }) => hostPort);
  expect(new Set(all).size).toBe(3);
  expect(all).not.toContain(from);
  expect(one.map(({ hostPort }) => hostPort)).not.toContain(from + 1);
  expect(one[0]).toMatchObject({ port: 80, protocol: "tcp", address: "127.0.0.1" });
});

test("a fixed port that is taken is told with who has it, and an empty range as such", async () => {
  const port = await listen();
  const ports = createHostPorts({ address: "127.0.0.1", ports: { from: port, to: port } }, { taken: () => [] });
  await expect(ports.place("a", [{ port: 1, hostPort: port }])).rejects.toMatchObject({
    code: "conflict",
    field: "template.ports[0].hostPort",
  });
  await expect(ports.place("a", [{ port: 1 }])).rejects.toMatchObject({ code: "exhausted" });
});
