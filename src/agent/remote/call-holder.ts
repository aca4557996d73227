import { connect } from "node:net";
import type { Clock } from "../../base/clock.ts";
import { AppError, errnoOf, messageOf } from "../../base/errors.ts";
import { openSocketAddress } from "../../base/socket-address.ts";
import {
  type HolderAnswer,
  type HolderCall,
  holderAnswerSchema,
  MAX_HOLDER_LINE_BYTES,
  RECORDED_LINE,
} from "../../contract/remote/holder-call.ts";

const ANSWER_MS = 10_000;

/**
 * Rejects with the holder's own error, with `unavailable` when nobody answers there, and `timeout` when it hangs. `recorded`: of an offer that
 * is not on disk yet; the holder is told when it is.
 */
export async function callHolder(
  socketPath: string,
  call: HolderCall,
  { clock, recorded }: { readonly clock: Clock; readonly recorded?: Promise<void> | undefined },
): Promise<HolderAnswer> {
  const address = await openSocketAddress(socketPath);
  try {
    const answer = await ask(address.path, { line: `${JSON.stringify(call)}\n`, recorded }, clock);
    if (answer.error !== undefined) throw new AppError(answer.error.code, answer.error.message);
    return answer;
  } finally {
    await address.close();
  }
}

/** It was not reached at all, so nothing of the call was heard. */
export function isNobodyThere(thrown: unknown): boolean {
  const errno = thrown instanceof AppError ? errnoOf(thrown.cause) : undefined;
  return errno === "ENOENT" || errno === "ECONNREFUSED";
}

interface Asked {
  readonly line: string;
  readonly recorded: Promise<void> | undefined;
}

function ask(path: string, { line, recorded }: Asked, clock: Clock): Promise<HolderAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let text = "";
    socket.setEncoding("utf8");
    const timer = clock.timer(ANSWER_MS, () => {
      socket.destroy(
        new AppError("timeout", `the holder of remote sessions did not answer within ${ANSWER_MS / 1000} s`),
      );
    });
    socket.once("close", () => timer.clear());
    socket.once("connect", () => {
      socket.write(line);
      void recorded?.then(() => {
        if (!socket.destroyed && !socket.readableEnded) socket.write(`${RECORDED_LINE}\n`);
      });
    });
    socket.on("data", (part: string) => {
      text += part;
      if (text.length > MAX_HOLDER_LINE_BYTES)
        socket.destroy(new AppError("too-large", "the holder's answer has no end"));
    });
    socket.once("end", () => {
      socket.destroy();
      try {
        resolve(holderAnswerSchema.parse(JSON.parse(text)));
      } catch (cause) {
        reject(new AppError("unavailable", `the holder's answer cannot be read: ${messageOf(cause)}`, { cause }));
      }
    });
    socket.once("error", (error) => {
      if (error instanceof AppError) return reject(error);
      const errno = errnoOf(error) ?? messageOf(error);
      reject(new AppError("unavailable", `the holder of remote sessions is not there (${errno})`, { cause: error }));
    });
  });
}
