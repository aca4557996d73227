/**
 * What applications do at an end of a tunnel, told over Node's IPC channel (`application-host.ts`): servers that give back or
 * count what they get, an RTMP server, and clients that keep a connection or send much over many at a time.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { systemClock } from "../../src/base/clock.ts";
import { messageOf } from "../../src/base/errors.ts";
import { answerAtEnd } from "../late-answerer.ts";
import { createRtmpServer, type RtmpServer } from "../rtmp/rtmp-server.ts";
import { type ApplicationRequest, applicationRequestSchema, type Exchanged } from "./application-request.ts";

const EVERYWHERE = "0.0.0.0";
const ANSWER_MS = 180_000;
const KEEP_CHARACTERS = 1024 * 1024;

/** What each server got, the last part of it. */
const heard = new Map<number, string>();
const kept: { readonly socket: Socket; received: string }[] = [];
let rtmp: RtmpServer | undefined;

async function serve(port: number, kind: "echo" | "count"): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    if (kind === "echo") echo(socket, port);
    else count(socket);
  });
  server.listen(port, EVERYWHERE);
  await once(server, "listening");
}

function echo(socket: Socket, port: number): void {
  socket.on("data", (bytes) => {
    heard.set(port, `${heard.get(port) ?? ""}${bytes.toString("latin1")}`.slice(-KEEP_CHARACTERS));
  });
  socket.pipe(socket);
}

/** Answers only when the other side has finished sending. */
function count(socket: Socket): void {
  answerAtEnd(socket, ({ bytes, sha256 }) => `${bytes} ${sha256.toString("hex")}`);
}

async function open(host: string, port: number): Promise<number> {
  const socket = connect({ host, port, allowHalfOpen: true });
  const one = { socket, received: "" };
  socket.setEncoding("utf8");
  socket.on("data", (text: string) => {
    one.received += text;
  });
  socket.on("end", () => socket.destroy());
  await once(socket, "connect");
  socket.on("error", () => socket.destroy());
  return kept.push(one) - 1;
}

async function say(handle: number, text: string): Promise<string> {
  const one = kept[handle];
  if (one === undefined) return "";
  one.received = "";
  one.socket.write(text);
  const endMs = systemClock.monotonicMs() + ANSWER_MS;
  while (one.received.length < text.length && !one.socket.destroyed && systemClock.monotonicMs() < endMs) {
    await systemClock.delay(5);
  }
  return one.received;
}

async function exchange(request: Extract<ApplicationRequest, { do: "exchange" }>): Promise<Exchanged> {
  const startMs = systemClock.monotonicMs();
  const answers = await Promise.all(Array.from({ length: request.connections }, (_, index) => sendOne(request, index)));
  return { right: answers.filter((isRight) => isRight).length, tookMs: systemClock.monotonicMs() - startMs };
}

/** Sends, says that it has finished, and compares what the other side counted after that. */
async function sendOne(
  { host, port, bytes, payload }: Extract<ApplicationRequest, { do: "exchange" }>,
  index: number,
): Promise<boolean> {
  const block = Buffer.from(`${index} ${payload}\n`.repeat(Math.ceil(65_536 / payload.length)));
  const hash = createHash("sha256");
  const socket = connect({ host, port, allowHalfOpen: true });
  let answer = "";
  socket.on("data", (chunk) => {
    answer += chunk.toString();
  });
  const ended = new Promise<void>((done) => {
    socket.once("end", done).once("close", () => done());
    socket.once("error", () => done());
  });
  for (let left = bytes; left > 0 && !socket.destroyed; left -= block.length) {
    const part = block.subarray(0, left);
    hash.update(part);
    if (!socket.write(part)) await Promise.race([once(socket, "drain").catch(() => undefined), ended]);
  }
  socket.end();
  await Promise.race([ended, systemClock.delay(ANSWER_MS)]);
  socket.destroy();
  return answer === `${bytes} ${hash.digest("hex")}`;
}

async function answer(request: ApplicationRequest): Promise<unknown> {
  switch (request.do) {
    case "serve":
      return serve(request.port, request.kind);
    case "heard":
      return (heard.get(request.port) ?? "").includes(request.text);
    case "serve-rtmp":
      rtmp = await createRtmpServer(
        { host: EVERYWHERE, port: request.port, strictPorts: true },
        { clock: systemClock },
      );
      return undefined;
    case "media-bytes":
      return rtmp?.mediaBytes(request.key) ?? 0;
    case "open":
      return open(request.host, request.port);
    case "say":
      return say(request.handle, request.text);
    case "is-open":
      return kept[request.handle]?.socket.destroyed === false;
    case "close":
      kept[request.handle]?.socket.destroy();
      return undefined;
    case "exchange":
      return exchange(request);
  }
}

process.on("message", (message) => {
  const { id, ...request } = applicationRequestSchema.parse(message);
  answer(request).then(
    (value) => process.send?.({ id, value }),
    (error: unknown) => process.send?.({ id, error: messageOf(error) }),
  );
});
process.on("disconnect", () => process.exit(0));
process.send?.({ id: 0 });
