import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { readDatagramsOf, readSocketsOf } from "./local-sockets.ts";

test("a process's network shows who listens there, and a process that is not there shows nothing", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  try {
    expect(readSocketsOf(process.pid)).toContainEqual(expect.objectContaining({ port, isListening: true }));
    expect(readSocketsOf(process.pid, "/nowhere")).toBeUndefined();
  } finally {
    server.close();
  }
});

test.each(["127.0.0.1", "::1"])(
  "datagrams to %s that arrived are counted in the network of whoever got them",
  async (address) => {
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    try {
      socket.bind(0, address);
      const isBound = await once(socket, "listening").then(
        () => true,
        () => false,
      );
      if (!isBound) return;
      const before = readDatagramsOf(process.pid);
      socket.send("x", socket.address().port, address);
      await once(socket, "message");
      expect(before).toBeDefined();
      expect(readDatagramsOf(process.pid)).toBeGreaterThan(before ?? 0);
      expect(readDatagramsOf(process.pid, "/nowhere")).toBeUndefined();
    } finally {
      socket.close();
    }
  },
);
