import { type ChildProcess, spawn } from "node:child_process";
import { connect } from "node:net";
import { afterEach, expect, test } from "vitest";
import { createTestServer } from "../server.ts";
import { openRawConnection } from "../sse/raw-connection.ts";

const children = new Set<ChildProcess>();
afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  children.clear();
});

/** A real FFmpeg that publishes a small moving picture with a tone. */
function publish(url: string): { readonly exited: Promise<number | null>; stop(): Promise<number | null> } {
  const video = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=10", "-f", "lavfi", "-i", "sine"];
  const coding = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-threads", "1", "-c:a", "aac"];
  const args = ["-nostdin", "-loglevel", "error", "-re", ...video, ...coding, "-f", "flv", url];
  const child = spawn("ffmpeg", args, { stdio: "ignore" });
  children.add(child);
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  return {
    exited,
    stop: () => {
      child.kill("SIGTERM");
      return exited;
    },
  };
}

const start = () => createTestServer({ port: 0, rtmpPort: 0 });
const soon = () => AbortSignal.timeout(15_000);

test("a publisher is seen with its picture, its bytes and its connections, also over a reconnect", async () => {
  await using server = await start();
  const { rtmp } = server;
  if (rtmp === undefined) throw new TypeError("no RTMP server");
  const first = publish(`${rtmp.url}/cam.1`);
  expect(await rtmp.untilPublishing("cam.1", soon())).toMatchObject({ app: "live", key: "cam.1", connects: 1 });
  await expect
    .poll(() => rtmp.publishers()[0], { timeout: 10_000 })
    .toMatchObject({
      publishing: true,
      video: { codec: "H264", width: 160, height: 120 },
      audioCodec: "AAC",
    });
  await expect.poll(() => rtmp.publishers()[0]?.fps, { timeout: 10_000 }).toBeGreaterThan(5);
  const bytes = rtmp.mediaBytes("cam.1");
  expect(bytes).toBeGreaterThan(1000);
  await first.stop();
  await expect.poll(() => rtmp.publishers()[0]?.publishing).toBe(false);

  publish(`${rtmp.url}/cam.1`);
  await rtmp.untilPublishing("cam.1", soon());
  expect(rtmp.connects("cam.1")).toBe(2);
  expect(rtmp.mediaBytes("cam.1")).toBeGreaterThan(bytes);
  expect(rtmp.connects("nobody")).toBe(0);
});

test("the picture can be fetched over the page's own origin, and ends with its publisher", async () => {
  await using server = await start();
  const url = `${server.origin}/live/live/cam.1.flv`;
  expect((await fetch(url)).status).toBe(404);
  const publisher = publish(`${server.rtmp?.url}/cam.1`);
  await server.rtmp?.untilPublishing("cam.1", soon());
  const response = await fetch(url);
  expect(response.headers.get("content-type")).toBe("video/x-flv");
  let bytes = 0;
  let head = "";
  for await (const piece of response.body ?? []) {
    if (head === "") head = Buffer.from(piece).toString("latin1", 0, 3);
    bytes += piece.length;
    if (bytes > 20_000) void publisher.stop();
  }
  expect(head).toBe("FLV");
  expect(bytes).toBeGreaterThan(20_000);
});

test("the page gets its picture over a WebSocket, which ends with the publisher and is closed to other sites", async () => {
  await using server = await start();
  const url = `${server.origin.replace("http", "ws")}/live/live/cam-1.flv`;
  const publisher = publish(`${server.rtmp?.url}/cam-1`);
  await server.rtmp?.untilPublishing("cam-1", soon());
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  let bytes = 0;
  socket.onmessage = ({ data }) => {
    bytes += data instanceof ArrayBuffer ? data.byteLength : 0;
  };
  await expect.poll(() => bytes, { timeout: 10_000 }).toBeGreaterThan(5000);
  const closed = new Promise((resolve) => socket.addEventListener("close", resolve));
  await publisher.stop();
  await closed;
  for (const [host, origin] of [
    [`127.0.0.1:${server.port}`, "https://evil.example"],
    ["rebound.example", "http://rebound.example"],
  ] as const) {
    await using raw = openRawConnection(url.replace("ws", "http"), {
      Connection: "Upgrade",
      Upgrade: "websocket",
      Host: host,
      Origin: origin,
    });
    await raw.until("403 Forbidden");
  }
});

test("a cut publisher loses its connection, and a second one under a used key is refused", async () => {
  await using server = await start();
  const first = publish(`${server.rtmp?.url}/a`);
  await server.rtmp?.untilPublishing("a", soon());
  const second = publish(`${server.rtmp?.url}/a`);
  expect(await second.exited).not.toBe(0);
  expect(server.rtmp?.publishers()).toMatchObject([{ key: "a", connects: 1, rivals: 1 }]);
  expect((await fetch(`${server.origin}/publishers/live/a`, { method: "DELETE" })).status).toBe(200);
  expect(await first.exited).not.toBe(0);
});

test("a frozen receiver keeps its publisher and takes new connections, reads nothing of either, and then reads on", async () => {
  await using server = await start();
  const { rtmp } = server;
  if (rtmp === undefined) throw new TypeError("no RTMP server");
  publish(`${rtmp.url}/a`);
  await rtmp.untilPublishing("a", soon());
  server.fault("freeze", { seconds: 0 });
  const before = rtmp.mediaBytes("a");
  const late = connect(rtmp.port, "127.0.0.1");
  late.on("error", () => undefined);
  let answered = 0;
  late.on("data", (bytes) => {
    answered += bytes.length;
  });
  // The first half of a handshake, which a server that reads answers at once.
  late.write(Buffer.concat([Buffer.from([3]), Buffer.alloc(1536)]));
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(rtmp.mediaBytes("a")).toBe(before);
  expect(rtmp.publishers()[0]).toMatchObject({ publishing: true, connects: 1 });
  expect([late.readyState, answered]).toEqual(["open", 0]);

  server.board.clear("freeze");
  await expect.poll(() => rtmp.mediaBytes("a"), { timeout: 10_000 }).toBeGreaterThan(before);
  await expect.poll(() => answered, { timeout: 10_000 }).toBeGreaterThan(1536);
  expect(rtmp.connects("a")).toBe(1);
  late.destroy();
});

test("two servers in one process do not share their publishers", async () => {
  await using one = await start();
  await using two = await start();
  publish(`${one.rtmp?.url}/same`);
  publish(`${two.rtmp?.url}/same`);
  await Promise.all([one.rtmp?.untilPublishing("same", soon()), two.rtmp?.untilPublishing("same", soon())]);
  expect([one.rtmp?.connects("same"), two.rtmp?.connects("same")]).toEqual([1, 1]);
});

test("what does not speak RTMP loses its connection and harms nobody", async () => {
  await using server = await start();
  const port = server.rtmp?.port ?? 0;
  // A whole handshake, then a `connect` without its object: NMS reads a field of what is not there.
  const body = Buffer.concat([Buffer.from([2, 0, 7]), Buffer.from("connect")]);
  const poison = Buffer.concat([
    Buffer.alloc(3073, 3),
    Buffer.from([3, 0, 0, 0, 0, 0, body.length, 20, 0, 0, 0, 0]),
    body,
  ]);
  const noise = [poison, Buffer.from("GET / HTTP/1.1\r\n\r\n".repeat(400)), Buffer.alloc(9000, 0x14)];
  for (const bytes of noise) {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.resume();
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.end(bytes);
    await closed;
  }
  expect(server.log.lines().map(({ text }) => text)).toContainEqual(expect.stringContaining("RTMP connection was cut"));
  publish(`${server.rtmp?.url}/after`);
  await server.rtmp?.untilPublishing("after", soon());
});

test("waiting for a publisher ends with the signal's reason", async () => {
  await using server = await start();
  const stop = new AbortController();
  const waiting = server.rtmp?.untilPublishing("nobody", stop.signal);
  stop.abort("enough");
  await expect(waiting).rejects.toBe("enough");
});
