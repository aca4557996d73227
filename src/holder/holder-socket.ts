import { chmod, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import type { Clock } from "../base/clock.ts";
import { AppError, errnoOf, messageOf } from "../base/errors.ts";
import { openSocketAddress } from "../base/socket-address.ts";
import { toAppError } from "../contract/error-code.ts";
import { type HolderAnswer, holderCallSchema, MAX_HOLDER_LINE_BYTES } from "../contract/remote/holder-call.ts";

const IDLE_MS = 10_000;

/**
 * Answers the agent: one JSON line in, one out, then the connection ends. Rejects with `conflict` when another holder answers
 * there. Resolves with what closes it.
 */
export async function openHolderSocket(
  path: string,
  answer: (call: ReturnType<typeof holderCallSchema.parse>) => Promise<HolderAnswer> | HolderAnswer,
  clock: Clock,
): Promise<() => Promise<void>> {
  const address = await openSocketAddress(path);
  const server = createServer((socket) => serve(socket, answer, clock));
  server.maxConnections = 32;
  const listen = () =>
    new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(address.path, () => {
        server.removeListener("error", reject);
        resolve();
      });
    });
  try {
    await listen();
  } catch (thrown) {
    if (errnoOf(thrown) !== "EADDRINUSE") throw thrown;
    if (await isAnswered(address.path)) throw new AppError("conflict", `another holder answers on ${path}`);
    // Left by one that died.
    await rm(path, { force: true });
    await listen();
  }
  await chmod(path, 0o600);
  return async () => {
    await rm(path, { force: true });
    server.close();
    await address.close();
  };
}

function serve(socket: Socket, answer: Parameters<typeof openHolderSocket>[1], clock: Clock): void {
  let held: Buffer[] = [];
  let bytes = 0;
  const timer = clock.timer(IDLE_MS, () => socket.destroy());
  socket.once("close", () => timer.clear());
  socket.on("error", () => socket.destroy());
  const reply = (value: HolderAnswer) => socket.end(`${JSON.stringify(value)}\n`);
  const onData = (chunk: Buffer) => {
    held.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_HOLDER_LINE_BYTES) return void socket.destroy();
    if (!chunk.includes(10)) return;
    socket.removeListener("data", onData);
    const text = Buffer.concat(held).toString("utf8");
    held = [];
    void respond(text, answer).then(reply);
  };
  socket.on("data", onData);
}

async function respond(text: string, answer: Parameters<typeof openHolderSocket>[1]): Promise<HolderAnswer> {
  try {
    return await answer(holderCallSchema.parse(JSON.parse(text)));
  } catch (thrown) {
    const { code, message } = toAppError(thrown);
    return { error: { code, message: messageOf(message).slice(0, 2000) } };
  }
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
