import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { z } from "zod";
import { AppError } from "../src/base/errors.ts";
import {
  type ApplicationRequest,
  applicationAnswerSchema,
  type Exchanged,
  exchangedSchema,
} from "./programs/application-request.ts";

const PROGRAM = resolve(import.meta.dirname, "programs/application.ts");

export interface ExchangeWish {
  readonly host: string;
  readonly port: number;
  readonly connections?: number;
  readonly bytes?: number;
  readonly payload?: string;
}

/** Applications in a network namespace: servers and clients of plain TCP, and an RTMP server. */
export interface ApplicationHost extends AsyncDisposable {
  /** `echo` gives back what it gets; `count` tells what it got once the other side has finished sending. */
  serve(port: number, kind: "echo" | "count"): Promise<void>;
  /** Whether this text came in at the `echo` server of this port. */
  hasHeard(port: number, text: string): Promise<boolean>;
  serveRtmp(port: number): Promise<void>;
  /** Audio and video that came under this key. */
  mediaBytes(key: string): Promise<number>;
  /** Opens a connection to an `echo` server and keeps it. */
  open(host: string, port: number): Promise<KeptConnection>;
  /** Sends to a `count` server over so many connections at a time, ending each before the answer comes. */
  exchange(wish: ExchangeWish): Promise<Exchanged>;
}

export interface KeptConnection {
  /** Resolves with what comes back; with less when nothing comes for three minutes (TCP tries again after 51 s when it was cut for as long), or the connection ends. */
  say(text: string): Promise<string>;
  isOpen(): Promise<boolean>;
  close(): Promise<void>;
}

/** Resolves when it takes orders. */
export async function startApplicationHost(namespace: string): Promise<ApplicationHost> {
  const args = ["netns", "exec", namespace, process.execPath, "--no-warnings", PROGRAM];
  const child = spawn("ip", args, {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    env: { PATH: process.env["PATH"] },
  });
  const waiting = new Map<
    number,
    { readonly done: (value: unknown) => void; readonly fail: (error: unknown) => void }
  >();
  let last = 0;
  const exited = once(child, "exit");
  child.on("message", (message) => {
    const { id, value, error } = applicationAnswerSchema.parse(message);
    const one = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) one?.done(value);
    else one?.fail(new AppError("unavailable", `an application in ${namespace}: ${error}`));
  });
  const gone = () => new AppError("unavailable", `the applications in ${namespace} have ended`);
  void exited.then(() => {
    for (const { fail } of waiting.values()) fail(gone());
    waiting.clear();
  });
  const answerTo = (id: number) =>
    new Promise<unknown>((done, fail) => {
      waiting.set(id, { done, fail });
    });
  const ask = (request: ApplicationRequest): Promise<unknown> => {
    if (!child.connected) return Promise.reject(gone());
    const id = ++last;
    const answer = answerTo(id);
    child.send({ id, ...request });
    return answer;
  };
  await answerTo(0);
  return {
    serve: async (port, kind) => void (await ask({ do: "serve", port, kind })),
    hasHeard: async (port, text) => z.boolean().parse(await ask({ do: "heard", port, text })),
    serveRtmp: async (port) => void (await ask({ do: "serve-rtmp", port })),
    mediaBytes: async (key) => z.number().parse(await ask({ do: "media-bytes", key })),
    open: async (host, port) => {
      const handle = z.int().parse(await ask({ do: "open", host, port }));
      return {
        say: async (text) => z.string().parse(await ask({ do: "say", handle, text })),
        isOpen: async () => z.boolean().parse(await ask({ do: "is-open", handle })),
        close: async () => void (await ask({ do: "close", handle })),
      };
    },
    exchange: async ({ host, port, connections = 1, bytes = 1000, payload = "0123456789abcdef" }) =>
      exchangedSchema.parse(await ask({ do: "exchange", host, port, connections, bytes, payload })),
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
