import { once } from "node:events";
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { readSocketsOf } from "./local-sockets.ts";

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
