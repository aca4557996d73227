import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { createSpawner } from "../../base/spawn.ts";
import { connectForBulk } from "./big-reads.ts";
import { createDataLink } from "./data-link.ts";
import { DATA_HEAD_BYTES, emptyFrame, FRAME, FRAME_HEAD_BYTES, PIECE_BYTES, writeFrameHead } from "./frames.ts";
import { makeWorkerIdentity } from "./worker-identity.fake.ts";
import { clientOptions, type Identity, startTlsServer } from "./worker-tls.ts";

const directory = mkdtempSync(join(tmpdir(), "sluice-reads-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
let identity: Identity;
beforeAll(async () => {
  identity = await makeWorkerIdentity(
    directory,
    "near",
    createSpawner({ ambient: { PATH: "/usr/bin:/bin" } }, { clock: systemClock }),
  );
});

/** A connection as one worker dials another, and what the other writes to. */
async function begin(isSealed: boolean) {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const accepted: Promise<Socket[]> = once(server, "connection");
  const near = connectForBulk({ host: "127.0.0.1", port }, isSealed ? clientOptions(identity) : undefined);
  const connected = once(near, isSealed ? "secureConnect" : "connect");
  const [socket] = await accepted;
  if (socket === undefined) throw new TypeError("nobody came");
  const far: Duplex = isSealed ? await startTlsServer(socket, identity) : socket;
  far.on("error", () => undefined);
  await connected;
  const link = createDataLink(near, systemClock);
  onTestFinished(() => {
    link.close();
    socket.destroy();
    server.close();
  });
  return { near, far, link };
}

function frameOf(bytes: number): Buffer {
  const frame = Buffer.concat([Buffer.alloc(FRAME_HEAD_BYTES), randomBytes(bytes)]);
  writeFrameHead(frame, 0, FRAME.data, bytes);
  return frame;
}

const hashOf = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

describe.each([
  ["in the clear", false],
  ["with TLS", true],
])("what is read into memory of ours, %s,", (_, isSealed) => {
  it("is what was sent, whatever its length, and stays so until it is let go", async () => {
    const { near, far, link } = await begin(isSealed);
    // What comes as events comes in memory of its own.
    expect(near.listenerCount("data")).toBe(0);
    const whole = DATA_HEAD_BYTES + PIECE_BYTES;
    const lengths = [whole, 1, whole, 16_384, 65_536, 65_537, 300, 100_000, whole - 1, 200_000, whole, 7];
    const sent: string[] = [];
    const came: string[] = [];
    for (let round = 0; round < 5; round++) {
      const frames = lengths.map(frameOf);
      for (const frame of frames) {
        sent.push(hashOf(frame.subarray(FRAME_HEAD_BYTES)));
        far.write(frame);
      }
      const held = [];
      for (const _ of frames) held.push(await link.next());
      for (const frame of held) {
        came.push(hashOf(frame?.body ?? Buffer.alloc(0)));
        // The next round is read into it.
        frame?.release();
      }
    }
    expect(came).toEqual(sent);
  });

  it("is no more than a few frames where nobody takes them, and the rest comes when somebody does", async () => {
    const { near, far, link } = await begin(isSealed);
    const frames = Array.from({ length: 64 }, () => frameOf(DATA_HEAD_BYTES + PIECE_BYTES));
    for (const frame of frames) far.write(frame);
    far.write(emptyFrame(FRAME.end));
    await expect.poll(() => near.isPaused()).toBe(true);
    expect(link.moved()).toBeLessThan(6.5 * PIECE_BYTES);
    for (const frame of frames) {
      const came = await link.next();
      expect(came?.body.equals(frame.subarray(FRAME_HEAD_BYTES))).toBe(true);
      came?.release();
    }
    expect((await link.next())?.type).toBe(FRAME.end);
  });

  it("ends where the other side ends, and breaks where it ends within a frame", async () => {
    const ended = await begin(isSealed);
    ended.far.end(frameOf(10));
    expect((await ended.link.next())?.body.length).toBe(10);
    expect(await ended.link.next()).toBeUndefined();

    const broken = await begin(isSealed);
    broken.far.end(frameOf(500_000).subarray(0, 400_000));
    await expect(broken.link.next()).rejects.toThrow("the connection to the peer broke");
  });
});
