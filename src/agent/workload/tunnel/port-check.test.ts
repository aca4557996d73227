import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { afterEach, expect, test } from "vitest";
import { checkPort, checkTunnelPorts } from "./port-check.ts";

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
});

async function listen(address: string): Promise<number> {
  const server = createServer();
  servers.push(server);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, address, resolve);
  });
  const found = server.address();
  return typeof found === "object" && found !== null ? found.port : 0;
}

async function freePort(address: string): Promise<number> {
  const port = await listen(address);
  await new Promise((resolve) => servers.pop()?.close(resolve));
  return port;
}

test("a free port passes and stays free", async () => {
  const port = await freePort("127.0.0.1");
  await checkPort({ address: "127.0.0.1", port }, "listen");
  await checkPort({ address: "127.0.0.1", port }, "listen");
});

test("a busy port is named with the process that has it", async () => {
  const port = await listen("127.0.0.1");
  await expect(checkPort({ address: "127.0.0.1", port }, "legs[0].listen")).rejects.toMatchObject({
    code: "conflict",
    field: "legs[0].listen",
    message: expect.stringMatching(
      new RegExp(
        `^legs\\[0\\]\\.listen: 127\\.0\\.0\\.1:${port} is taken by .+ \\(pid ${process.pid}\\), which listens on 127\\.0\\.0\\.1:${port}$`,
      ),
    ),
  });
});

test("who listens on every address has each of them", async () => {
  for (const everywhere of ["0.0.0.0", "::"]) {
    const port = await listen(everywhere);
    await expect(checkPort({ address: "127.0.0.1", port }, "listen")).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining(`(pid ${process.pid})`),
    });
  }
});

test("the same port on another address of the box is free", async () => {
  const port = await listen("127.0.0.2");
  await checkPort({ address: "127.0.0.1", port }, "listen");
});

test("an address that the box has not is answered with those that it has", async () => {
  await expect(checkPort({ address: "192.0.2.1", port: 5100 }, "legs[2].listen")).rejects.toMatchObject({
    code: "invalid",
    field: "legs[2].listen.address",
    message: expect.stringMatching(
      /^legs\[2\]\.listen: 192\.0\.2\.1:5100 is no address of this box; it has .*127\.0\.0\.1/,
    ),
  });
});

test("of an end's legs the one that does not go is named", async () => {
  const busy = await listen("127.0.0.1");
  const free = await freePort("127.0.0.1");
  const legs = [free, busy].map((port) => ({
    listen: { address: "127.0.0.1", port },
    connect: { host: "127.0.0.1", port: 9 },
  }));
  await expect(checkTunnelPorts({ legs })).rejects.toMatchObject({ code: "conflict", field: "legs[1].listen" });
  await checkPort({ address: "127.0.0.1", port: free }, "listen");
});

test("a privileged port names the first that this user may take, and what allows the lower ones", async () => {
  const first = Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"));
  const isRoot = process.geteuid?.() === 0;
  // Where every port is free to everybody there is no such refusal.
  if (first <= 1) return;
  if (isRoot) process.seteuid?.(65_534);
  try {
    await expect(checkPort({ address: "127.0.0.1", port: first - 1 }, "legs[0].listen")).rejects.toMatchObject({
      code: "refused",
      field: "legs[0].listen.port",
      message: `legs[0].listen: 127.0.0.1:${first - 1} is privileged for this user: allowed are ports from ${first} on (net.ipv4.ip_unprivileged_port_start), or lower ones with CAP_NET_BIND_SERVICE`,
    });
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
});
