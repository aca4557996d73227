import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { expect, test } from "vitest";
import { createProcessSockets } from "./process-sockets.ts";

test("finds a process's own sockets, and bytes that its peer does not read", async () => {
  const peers: Socket[] = [];
  const server = createServer({ pauseOnConnect: true }, (accepted) => {
    accepted.on("error", () => undefined);
    peers.push(accepted);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const client = connect(port, "127.0.0.1");
  client.on("error", () => undefined);
  await once(client, "connect");
  client.write(Buffer.alloc(32 * 1024 * 1024));
  const sockets = createProcessSockets();
  const readOwn = () => sockets.read([process.pid]).get(process.pid) ?? [];
  const ofPeer = (own: ReturnType<typeof readOwn>) => own.find(({ remote }) => remote === `127.0.0.1:${port}`);
  // The peer's window closes when it has what it takes.
  await expect.poll(() => ofPeer(readOwn())?.timer).toBe("probe");
  const own = readOwn();
  const outgoing = ofPeer(own);
  expect(outgoing).toMatchObject({ isEstablished: true, timer: "probe" });
  expect(outgoing?.unackedBytes).toBeGreaterThan(100_000);
  expect(own.some(({ unreadBytes }) => unreadBytes > 0)).toBe(true);
  client.destroy();
  await expect.poll(() => ofPeer(readOwn())).toBeUndefined();
  for (const peer of peers) peer.destroy();
  server.close();
});

test("tells trouble from calm, and sees connections that were opened in the calm", async () => {
  const peers: Socket[] = [];
  const server = createServer({ pauseOnConnect: true }, (accepted) => {
    accepted.on("error", () => undefined);
    peers.push(accepted);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const sockets = createProcessSockets();
  sockets.read([process.pid]);
  expect(sockets.hasTrouble([process.pid])).toBe(true);
  // Whatever else this machine does on its network.
  await expect.poll(() => sockets.hasTrouble([process.pid])).toBe(false);
  const client = connect(port, "127.0.0.1");
  client.on("error", () => undefined);
  await once(client, "connect");
  client.write(Buffer.alloc(32 * 1024 * 1024));
  await expect.poll(() => sockets.hasTrouble([process.pid])).toBe(true);
  const timer = () => {
    const own = sockets.read([process.pid]).get(process.pid) ?? [];
    return own.find(({ remote }) => remote === `127.0.0.1:${port}`)?.timer;
  };
  // The trouble may have been another's: ours follows within the retransmission timeout.
  await expect.poll(timer).toBe("probe");
  client.destroy();
  for (const peer of peers) peer.destroy();
  server.close();
});

test("takes a kernel that hides its counters for one in trouble", () => {
  const blind = createProcessSockets("/nowhere");
  expect([blind.hasTrouble([1]), blind.hasTrouble([1])]).toEqual([true, true]);
});

test("knows nothing of a process that is not there", () => {
  expect(createProcessSockets().read([4_194_305]).size).toBe(0);
});
