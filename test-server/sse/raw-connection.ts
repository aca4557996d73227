import { connect } from "node:net";
import { AppError } from "../../src/base/errors.ts";

/** A connection as a socket sees it: nothing is decoded, joined or retried. */
export interface RawConnection extends AsyncDisposable {
  /** Everything received so far, status line and HTTP chunk sizes included. */
  text(): string;
  bytes(): Buffer;
  /** Resolves when the text holds `part`, counted from `from`. */
  until(part: string | RegExp, limits?: { readonly timeoutMs?: number; readonly from?: number }): Promise<string>;
  /** Resolves with how the peer ended it. */
  readonly ended: Promise<"end" | "reset">;
  isOpen(): boolean;
}

export function openRawConnection(url: string, headers: Readonly<Record<string, string>> = {}): RawConnection {
  const { hostname, port, host, pathname, search } = new URL(url);
  const socket = connect({ host: hostname.replace(/^\[|\]$/g, ""), port: Number(port) });
  const pieces: Buffer[] = [];
  const { promise: ended, resolve: end } = Promise.withResolvers<"end" | "reset">();
  let isOpen = true;
  const all = { Host: host, Accept: "text/event-stream", ...headers };
  const lines = [
    `GET ${pathname}${search} HTTP/1.1`,
    ...Object.entries(all).map(([name, value]) => `${name}: ${value}`),
  ];
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  socket.on("data", (piece: Buffer) => pieces.push(piece));
  socket.on("error", () => end("reset"));
  socket.on("close", () => {
    isOpen = false;
    end("end");
  });
  const bytes = () => Buffer.concat(pieces);
  const text = () => bytes().toString("latin1");

  return {
    text,
    bytes,
    ended,
    isOpen: () => isOpen,
    until: (part, { timeoutMs = 20_000, from = 0 } = {}) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const rest = text().slice(from);
          if (typeof part === "string" ? !rest.includes(part) : !part.test(rest)) return false;
          stop();
          resolve(rest);
          return true;
        };
        const fail = (why: string) => {
          if (look()) return;
          stop();
          reject(
            new AppError("timeout", `${why} before ${String(part)} came; received: ${text().slice(from).slice(-2000)}`),
          );
        };
        const onClose = () => fail("the connection ended");
        const timer = setTimeout(() => fail(`${timeoutMs} ms went by`), timeoutMs);
        const stop = () => {
          clearTimeout(timer);
          socket.off("data", look);
          socket.off("close", onClose);
        };
        socket.on("data", look);
        socket.on("close", onClose);
        if (!isOpen) fail("the connection ended");
        else look();
      }),
    [Symbol.asyncDispose]: async () => {
      socket.destroy();
      await ended;
    },
  };
}
