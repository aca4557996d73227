import type { Readable } from "node:stream";
import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import { parseBoundedJson } from "../../contract/wire-event-json.ts";

export interface BodyLimits {
  readonly maxBytes: number;
  /** From the headers to the last byte: who sends slower holds a connection for nothing. */
  readonly timeoutMs: number;
}

const MAX_DEPTH = 32;

/** The whole body. Rejects with `too-large` or `timeout`; the rest is then left unread and the connection has to be closed. */
export function readBody(source: Readable, limits: BodyLimits, clock: Clock): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const stop = (settle: () => void) => {
      timer.clear();
      source.off("data", onData).off("end", onEnd).off("error", onGone).off("close", onGone);
      settle();
    };
    const fail = (error: AppError) => {
      source.pause();
      stop(() => reject(error));
    };
    const onData = (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > limits.maxBytes) fail(tooLarge(limits.maxBytes));
      else chunks.push(chunk);
    };
    const onEnd = () => stop(() => resolve(Buffer.concat(chunks, bytes)));
    const onGone = () => fail(new AppError("cancelled", "the connection ended before the body did"));
    const timer = clock.timer(limits.timeoutMs, () =>
      fail(new AppError("timeout", `body: not complete after ${limits.timeoutMs / 1000} s; send it faster`)),
    );
    source.on("data", onData).on("end", onEnd).on("error", onGone).on("close", onGone);
  });
}

export function tooLarge(maxBytes: number): AppError {
  return new AppError("too-large", `body: given more than ${maxBytes} bytes; allowed: at most that many`, {
    field: "body",
  });
}

/** `undefined` for an empty body. `invalid` for what is not JSON, or is nested too deep; no message repeats the text. */
export function parseJsonBody(body: Buffer, contentType: string | undefined): unknown {
  if (body.length === 0) return undefined;
  if (!/^application\/(?:[a-z0-9.+-]+\+)?json\s*(?:;|$)/i.test(contentType ?? "")) {
    const given = contentType === undefined ? "nothing" : JSON.stringify(contentType.slice(0, 100));
    throw new AppError("invalid", `Content-Type: given ${given}; allowed: application/json`, {
      field: "Content-Type",
    });
  }
  const text = body.toString("utf8");
  const parsed = parseBoundedJson(text, { maxBytes: body.length * 3, maxDepth: MAX_DEPTH });
  if ("bad" in parsed) {
    const message =
      parsed.bad === "too-deep"
        ? `body: given more than ${MAX_DEPTH} levels; allowed: at most that many`
        : `body: given ${whatIsWrong(text)}; allowed: JSON`;
    throw new AppError("invalid", message, { field: "body" });
  }
  return parsed.value;
}

/** What nearly every hand-written body has wrong is named with its place; of anything else only the length. */
function whatIsWrong(text: string): string {
  const at = trailingCommaAt(text);
  if (at === undefined) return `${Buffer.byteLength(text)} bytes that are not JSON`;
  const before = text.slice(0, at).split("\n");
  const closing = /[\]}]/.exec(text.slice(at))?.[0] ?? "";
  return `a comma before ${closing} in line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}, where JSON has none`;
}

/** Where the first comma is that only space separates from the end of its object or list. */
function trailingCommaAt(text: string): number | undefined {
  const found = /"[^"\\]*(?:\\.[^"\\]*)*"|,(?=\s*[\]}])/gs;
  for (let match = found.exec(text); match !== null; match = found.exec(text)) {
    if (match[0] === ",") return match.index;
  }
  return undefined;
}
