import { createServer, type Socket } from "node:net";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";

export interface OneSessionCameraOptions {
  /** The session is freed this long after its connection ended, as cameras do that notice it late. */
  readonly holdMs?: number;
}

/** An RTSP camera with sound (G.711) that allows one session: every other `SETUP` gets 453. */
export interface OneSessionCamera extends AsyncDisposable {
  readonly url: string;
  readonly sessions: number;
  readonly turnedAway: number;
}

const PACKET_MS = 20;
const SAMPLES = 160;
const SDP = [
  "v=0",
  "o=- 0 0 IN IP4 127.0.0.1",
  "s=gate",
  "c=IN IP4 0.0.0.0",
  "t=0 0",
  "m=audio 0 RTP/AVP 0",
  "a=control:track1",
];

export async function startOneSessionCamera({ holdMs = 0 }: OneSessionCameraOptions = {}): Promise<OneSessionCamera> {
  const life = new AbortController();
  const sockets = new Set<Socket>();
  const count = { sessions: 0, turnedAway: 0 };
  let holder: Socket | undefined;

  const free = (socket: Socket) => {
    if (holder !== socket) return;
    systemClock.delay(holdMs, life.signal).then(
      () => {
        if (holder === socket) holder = undefined;
      },
      () => undefined,
    );
  };

  const answer = (socket: Socket, request: string) => {
    const [method = "", url = ""] = request.split(" ");
    const sequence = /^CSeq: *(\d+)/im.exec(request)?.[1] ?? "0";
    const reply = (status: string, headers: readonly string[] = [], body = "") => {
      const length = body === "" ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
      socket.write([`RTSP/1.0 ${status}`, `CSeq: ${sequence}`, ...headers, ...length, "", body].join("\r\n"));
    };
    switch (method) {
      case "OPTIONS":
        return reply("200 OK", ["Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"]);
      case "DESCRIBE":
        return reply("200 OK", ["Content-Type: application/sdp", `Content-Base: ${url}/`], `${SDP.join("\r\n")}\r\n`);
      case "SETUP":
        if (holder !== undefined) {
          count.turnedAway++;
          return reply("453 Not Enough Bandwidth");
        }
        holder = socket;
        count.sessions++;
        return reply("200 OK", ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1;timeout=60"]);
      case "PLAY":
        reply("200 OK", ["Session: 1"]);
        play(socket, life.signal).catch(() => socket.destroy());
        return;
      case "TEARDOWN":
        reply("200 OK", ["Session: 1"]);
        return;
      default:
        return reply("200 OK", ["Session: 1"]);
    }
  };

  const server = createServer((socket) => {
    sockets.add(socket);
    let unread = "";
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => {
      unread += text;
      for (let end = unread.indexOf("\r\n\r\n"); end >= 0; end = unread.indexOf("\r\n\r\n")) {
        // What comes between requests is FFmpeg's own RTCP, interleaved.
        const request = /[A-Z_]+ rtsp:.*$/s.exec(unread.slice(0, end))?.[0];
        unread = unread.slice(end + 4);
        if (request !== undefined) answer(socket, request);
      }
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      sockets.delete(socket);
      free(socket);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new AppError("unavailable", "the camera has no port");

  return {
    url: `rtsp://127.0.0.1:${address.port}/1`,
    get sessions() {
      return count.sessions;
    },
    get turnedAway() {
      return count.turnedAway;
    },
    [Symbol.asyncDispose]: async () => {
      life.abort();
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** RTP over the RTSP connection: a tone, one packet every 20 ms. */
async function play(socket: Socket, signal: AbortSignal): Promise<void> {
  const startMs = systemClock.monotonicMs();
  for (let packet = 0; !signal.aborted && !socket.destroyed; packet++) {
    const frame = Buffer.alloc(4 + 12 + SAMPLES);
    frame.writeUInt8(0x24, 0);
    frame.writeUInt16BE(12 + SAMPLES, 2);
    frame.writeUInt8(0x80, 4);
    frame.writeUInt16BE(packet & 0xffff, 6);
    frame.writeUInt32BE((packet * SAMPLES) >>> 0, 8);
    frame.writeUInt32BE(0x5_1c_e0_01, 12);
    for (let index = 0; index < SAMPLES; index++) frame.writeUInt8(index % 20 < 10 ? 0x80 : 0x00, 16 + index);
    socket.write(frame);
    await systemClock.delay(Math.max(1, startMs + packet * PACKET_MS - systemClock.monotonicMs()), signal);
  }
}
