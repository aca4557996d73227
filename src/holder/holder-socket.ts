import { chmod, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import type { Clock } from "../base/clock.ts";
import { AppError, errnoOf, messageOf } from "../base/errors.ts";
import { openSocketAddress } from "../base/socket-address.ts";
import { toAppError } from "../contract/error-code.ts";
import {
  type HolderAnswer,
  holderCallSchema,
  MAX_HOLDER_LINE_BYTES,
  RECORDED_LINE,
} from "../contract/remote/holder-call.ts";

const IDLE_MS = 10_000;
const NEWLINE = 10;

/** `recorded`: resolves when the agent says that an offer is on its disk; rejects with `unavailable` when it goes before. */
export type AnswerAgent = (
  call: ReturnType<typeof holderCallSchema.parse>,
  recorded: Promise<void>,
) => Promise<HolderAnswer> | HolderAnswer;

/**
 * Answers the agent: one JSON line in (and `recorded` behind some offers), one out, then the connection ends. Rejects with `conflict` when
 * another holder answers there. Resolves with what closes it.
 */
export async function openHolderSocket(path: string, answer: AnswerAgent, clock: Clock): Promise<() => Promise<void>> {
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

function serve(socket: Socket, answer: AnswerAgent, clock: Clock): void {
  let held: Buffer[] = [];
  let bytes = 0;
  let isAsked = false;
  const recorded = Promise.withResolvers<void>();
  recorded.promise.catch(() => undefined);
  const timer = clock.timer(IDLE_MS, () => socket.destroy());
  socket.once("close", () => {
    timer.clear();
    recorded.reject(new AppError("unavailable", "the agent ended before it had written down that the session begins"));
  });
  socket.on("error", () => socket.destroy());
  const reply = (value: HolderAnswer) => socket.end(`${JSON.stringify(value)}\n`);
  const onData = (chunk: Buffer) => {
    held.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_HOLDER_LINE_BYTES) return void socket.destroy();
    if (!chunk.includes(NEWLINE)) return;
    const lines = Buffer.concat(held).toString("utf8").split("\n");
    held = [Buffer.from(lines.pop() ?? "")];
    for (const line of lines) {
      if (isAsked && line === RECORDED_LINE) recorded.resolve();
      if (!isAsked) void respond(line, (call) => answer(call, recorded.promise)).then(reply);
      isAsked = true;
    }
  };
  socket.on("data", onData);
}

async function respond(
  text: string,
  answer: (call: Parameters<AnswerAgent>[0]) => ReturnType<AnswerAgent>,
): Promise<HolderAnswer> {
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
