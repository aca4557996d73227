import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type { MeasureContext, Measurement, Row } from "./measurement.ts";
import { readProcessFigures } from "./process-figures.ts";
import { fill, joinRaw, type RawEnd } from "./remote/raw-end.ts";
import { LOOPBACK } from "./remote/site-link.ts";
import { startSluiceSite } from "./remote/sluice-site.ts";

const COUNT = 1000;
const SETTLE_MS = 5000;
/** Nothing was taken for so long: everything is full. */
const STILL_MS = 3000;
/** The same, counted by looks of a process that may be slow itself. */
const STILL_ROUNDS = 100;
const READ_BYTES = 1024 * 1024;
const AT_ONCE = 10;
/** Those of the launcher (`write_launcher` in `scripts/bootstrap.sh`). */
const ROUTER_FLAGS = ["--single-threaded-gc", "--max-semi-space-size=1", "--heap-growing-percent=200"];
const PROGRAM = resolve(import.meta.dirname, "remote/router-program.ts");
const CHUNK = Buffer.alloc(64 * 1024, 8);

/** What 1 000 sessions cost their router, and 1 000 connections of a forward the box and the operator: idle, and with readers that do not read. */
export const remoteMemory: Measurement = {
  name: "remote-memory",
  limitMs: 8 * 60_000,
  measure: async (context) => [...(await measureRouter(context)), ...(await measureForward(context))],
};

async function measureRouter({ lab, say }: MeasureContext): Promise<readonly Row[]> {
  const child = lab.spawn(process.execPath, ["--no-warnings", ...ROUTER_FLAGS, PROGRAM, String(COUNT)], {
    stdio: "pipe",
  });
  const { stdout, pid = -1 } = child;
  if (stdout === null) throw new RangeError("the router has no output");
  const [line] = await once(createInterface({ input: stdout }), "line");
  const { url, tickets }: { url: string; tickets: { operator: string; box: string }[] } = JSON.parse(String(line));
  const rss = () => readProcessFigures(pid).rssMB * 1024;
  await delay(SETTLE_MS);
  const emptyKB = rss();
  say(`joining ${COUNT} sessions, each end with a connection of its own`);
  const ends: { readonly operator: RawEnd; readonly box: RawEnd }[] = [];
  for (const ticket of tickets) {
    const [operator, box] = await Promise.all([joinRaw(url, ticket.operator), joinRaw(url, ticket.box)]);
    ends.push({ operator, box });
  }
  await lab.until(() => ends.every(({ operator, box }) => operator.readBytes > 0 && box.readBytes > 0), "all have met");
  await delay(SETTLE_MS);
  const idleKB = rss();
  for (const { operator } of ends) operator.stream.pause();
  const fillAll = async () => {
    for (let stillRounds = 0; stillRounds < STILL_ROUNDS; ) {
      stillRounds = ends.filter(({ box }) => fill(box)).length > 0 ? 0 : stillRounds + 1;
      await delay(20);
    }
    return rss();
  };
  say("each box sends, and no operator reads");
  const unreadKB = await fillAll();
  say("each operator reads 1 MiB as fast as it can, some after the others, and stops");
  for (let at = 0; at < ends.length; at += AT_ONCE) {
    const some = ends
      .slice(at, at + AT_ONCE)
      .map((end) => ({ ...end, untilBytes: end.operator.readBytes + READ_BYTES }));
    for (const { operator } of some) operator.stream.resume();
    await lab.until(() => {
      for (const { operator, box, untilBytes } of some) {
        if (operator.readBytes < untilBytes) fill(box);
        else operator.stream.pause();
      }
      return some.every(({ operator }) => operator.stream.isPaused());
    }, "some have read");
  }
  const stoppedKB = await fillAll();
  child.kill("SIGKILL");
  for (const { operator, box } of ends) for (const { session } of [operator, box]) session.destroy();
  return [
    row("router: a session of 1 000 idle ones", (idleKB - emptyKB) / COUNT),
    row("router: a session of 1 000 whose reader does not read", (unreadKB - emptyKB) / COUNT),
    row("router: a session of 1 000 whose reader has read fast and stopped", (stoppedKB - emptyKB) / COUNT),
  ];
}

async function measureForward({ lab, say }: MeasureContext): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const targets = new Set<Socket>();
  const server = createServer((socket) => {
    targets.add(socket);
    socket.on("error", () => undefined).resume();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const clients: Socket[] = [];
  stack.defer(() => {
    for (const socket of [...targets, ...clients]) socket.destroy();
    server.close();
  });
  say("starting hub, router and agent");
  const site = stack.use(
    await startSluiceSite({ name: "memory", isTls: false, sites: { near: LOOPBACK, box: LOOPBACK } }, lab),
  );
  const forward = await site.forward({ host: "127.0.0.1", port: (server.address() as AddressInfo).port });
  stack.defer(forward.stop);
  const connectOne = async () => {
    const socket = connect({ ...forward.at });
    socket.on("error", () => undefined);
    clients.push(socket);
    await once(socket, "connect");
    socket.write("x");
  };
  await connectOne();
  await lab.until(() => targets.size === 1, "the forward is open");
  const places = { router: site.routerPid, "the box's holder": site.holderPid(), "sluice forward": forward.pid };
  const read = () => Object.entries(places).map(([name, pid]) => [name, readProcessFigures(pid).rssMB * 1024] as const);
  await delay(SETTLE_MS);
  const empty = new Map(read());
  say(`${COUNT} connections`);
  for (let index = 0; index < COUNT; index++) await connectOne();
  await lab.until(() => targets.size === COUNT + 1, "all are open");
  await delay(SETTLE_MS);
  const each = (text: string) =>
    read().map(([name, kilobytes]) => row(`${name}: ${text}`, (kilobytes - (empty.get(name) ?? 0)) / COUNT));
  const idle = each("a connection of 1 000 idle ones");
  say("the target sends on each, and nobody reads");
  for (const socket of clients) socket.pause();
  let stillSinceMs = performance.now();
  while (performance.now() - stillSinceMs < STILL_MS) {
    for (const socket of targets) {
      if (socket.writableLength > 0) continue;
      socket.write(CHUNK);
      stillSinceMs = performance.now();
    }
    await delay(20);
  }
  return [...idle, ...each("a connection of 1 000 whose reader does not read")];
}

function row(what: string, kilobytes: number): Row {
  return { what, unit: "KB", samples: [kilobytes] };
}
