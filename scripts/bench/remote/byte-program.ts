/**
 * Both ends of what is measured, in a process of its own so that it can be put anywhere. `serve ADDRESS` listens and says its port;
 * `drive` takes one request a line on standard input and answers each with a line, both JSON.
 */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";

export interface Place {
  readonly host: string;
  readonly port: number;
}

export type Drive =
  /** From the target to here, or from here to it. Answer: milliseconds, from the connection's first byte asked for to the last. */
  | { readonly what: "receive" | "send"; readonly at: Place; readonly bytes: number }
  /** One byte there and back, one after the other. Answer: milliseconds each. */
  | { readonly what: "echo"; readonly at: Place; readonly count: number; readonly everyMs: number }
  /** Connection, one byte there and back, end; one after the other. Answer: milliseconds in all. */
  | { readonly what: "connect"; readonly at: Place; readonly count: number }
  /** From the target to here, or from here to it, for so long. Answer: the bytes that came, here or there, in each tenth of a second. */
  | { readonly what: "flow" | "flood"; readonly at: Place; readonly ms: number };

export interface DriveAnswer {
  readonly values?: readonly number[];
  readonly error?: string;
}

const CHUNK_BYTES = 256 * 1024;
const TENTH_MS = 100;

/**
 * The first line of a connection says what is to be done: `send BYTES`, `take BYTES` (one byte comes back), `tally` (each tenth of a second a
 * line comes back with the bytes that came in it) or `echo`.
 */
function serveOne(socket: Socket): void {
  socket.on("error", () => socket.destroy());
  socket.once("data", (first: Buffer) => {
    const end = first.indexOf(10);
    const [word, count] = first.subarray(0, end).toString().split(" ");
    const rest = first.subarray(end + 1);
    if (word === "send") write(socket, Number(count));
    else if (word === "echo") {
      socket.write(rest);
      socket.pipe(socket);
    } else if (word === "tally") tally(socket, rest.length);
    else {
      let left = Number(count) - rest.length;
      socket.on("data", (bytes: Buffer) => {
        left -= bytes.length;
        if (left <= 0) socket.end("!");
      });
    }
  });
}

function tally(socket: Socket, early: number): void {
  let bytes = early;
  socket.on("data", (more: Buffer) => {
    bytes += more.length;
  });
  const timer = setInterval(() => {
    socket.write(`${bytes}\n`);
    bytes = 0;
  }, TENTH_MS);
  socket.once("close", () => clearInterval(timer));
}

function write(socket: Socket, bytes: number): void {
  const chunk = Buffer.alloc(CHUNK_BYTES, 0x5a);
  let left = bytes;
  const fill = () => {
    while (left > 0) {
      const piece = left >= chunk.length ? chunk : chunk.subarray(0, left);
      left -= piece.length;
      if (!socket.write(piece)) return;
    }
    socket.off("drain", fill);
  };
  socket.on("drain", fill);
  fill();
}

/** One buffer for all reads: what is measured is what lies between. */
function open({ host, port }: Place, onBytes: (bytes: Buffer) => void): Promise<Socket> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  const socket = connect({
    host,
    port,
    noDelay: true,
    onread: {
      buffer,
      callback: (count) => {
        onBytes(buffer.subarray(0, count));
        return true;
      },
    },
  });
  return once(socket, "connect").then(() => socket);
}

function whenBroken(socket: Socket): Promise<never> {
  return new Promise((_, reject) => {
    socket.on("error", reject);
    socket.once("close", () => reject(new Error("the connection ended too soon")));
  });
}

async function until(socket: Socket, done: Promise<unknown>): Promise<void> {
  await Promise.race([done, whenBroken(socket)]);
}

async function drive(request: Drive): Promise<readonly number[]> {
  switch (request.what) {
    case "receive": {
      const all = Promise.withResolvers<void>();
      let left = request.bytes;
      const socket = await open(request.at, (bytes) => {
        left -= bytes.length;
        if (left <= 0) all.resolve();
      });
      const beganMs = performance.now();
      socket.write(`send ${request.bytes}\n`);
      await until(socket, all.promise);
      const tookMs = performance.now() - beganMs;
      socket.destroy();
      return [tookMs];
    }
    case "send": {
      const taken = Promise.withResolvers<void>();
      const socket = await open(request.at, () => taken.resolve());
      const beganMs = performance.now();
      socket.write(`take ${request.bytes}\n`);
      write(socket, request.bytes);
      await until(socket, taken.promise);
      const tookMs = performance.now() - beganMs;
      socket.destroy();
      return [tookMs];
    }
    case "echo": {
      let heard = Promise.withResolvers<void>();
      const socket = await open(request.at, () => heard.resolve());
      void whenBroken(socket).catch((error: unknown) => heard.reject(error));
      socket.write("echo\n");
      const values: number[] = [];
      for (let turn = 0; turn < request.count; turn++) {
        heard = Promise.withResolvers();
        const beganMs = performance.now();
        socket.write("x");
        await heard.promise;
        values.push(performance.now() - beganMs);
        const leftMs = request.everyMs - (performance.now() - beganMs);
        if (request.everyMs > 0) await new Promise((done) => setTimeout(done, Math.max(0, leftMs)));
      }
      heard.promise.catch(() => undefined);
      socket.destroy();
      return values;
    }
    case "connect": {
      const beganMs = performance.now();
      for (let turn = 0; turn < request.count; turn++) {
        const heard = Promise.withResolvers<void>();
        const socket = await open(request.at, () => heard.resolve());
        socket.write("echo\nx");
        await until(socket, heard.promise);
        socket.end();
      }
      return [performance.now() - beganMs];
    }
    case "flow": {
      const tenths: number[] = [];
      const beganMs = performance.now();
      const socket = await open(request.at, (bytes) => {
        const index = Math.floor((performance.now() - beganMs) / TENTH_MS);
        tenths[index] = (tenths[index] ?? 0) + bytes.length;
      });
      socket.on("error", () => undefined);
      socket.write(`send ${Number.MAX_SAFE_INTEGER}\n`);
      await new Promise((done) => setTimeout(done, request.ms));
      socket.resetAndDestroy();
      return Array.from({ length: Math.floor(request.ms / TENTH_MS) }, (_none, index) => tenths[index] ?? 0);
    }
    case "flood": {
      let told = "";
      const socket = await open(request.at, (bytes) => {
        told += bytes.toString();
      });
      socket.on("error", () => undefined);
      socket.write("tally\n");
      write(socket, Number.MAX_SAFE_INTEGER);
      await new Promise((done) => setTimeout(done, request.ms));
      socket.resetAndDestroy();
      return told.split("\n").slice(0, -1).map(Number);
    }
  }
}

async function main([manner, address = ""]: readonly string[]): Promise<void> {
  if (manner === "serve") {
    const server = createServer({ noDelay: true }, serveOne).listen(0, address);
    await once(server, "listening");
    const bound = server.address();
    console.log(JSON.stringify({ port: typeof bound === "object" ? bound?.port : 0 }));
    process.stdin.resume().once("end", () => process.exit());
    return;
  }
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, request } = JSON.parse(line);
    drive(request).then(
      (values) => console.log(JSON.stringify({ id, values })),
      (thrown: unknown) => console.log(JSON.stringify({ id, error: String(thrown) })),
    );
  }
  process.exit();
}

await main(process.argv.slice(2));
