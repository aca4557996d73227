import { lstatSync, renameSync, unlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Clock, Timer } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import type { RemoteClient } from "../../client/remote-client.ts";
import type { Carrier } from "../../remote/carrier.ts";
import type { PreparedTarget, RouterDialler } from "../../remote/router-dialler.ts";
import { createLinkWire, type LinkWire } from "./link-wire.ts";
import { type Asked, type LinkCall, type Told, toAsked, toLinkError } from "./link-words.ts";

export interface LinkKeeperOptions {
  /** Of its socket, in a directory that nobody but this user can enter. */
  readonly path: string;
  readonly hub: string;
  readonly version: string;
  /** It ends itself so long after its last use. */
  readonly idleSeconds: number;
  /** What the command that starts it has just used, and the next will: connected at once. */
  readonly routers: readonly PreparedTarget[];
}

export interface LinkKeeperDeps {
  readonly clock: Clock;
  readonly pid: number;
  readonly client: RemoteClient;
  readonly dialler: RouterDialler;
  /** Id of the box that a person means. */
  readonly findBox: (given: string, signal: AbortSignal) => Promise<string>;
}

/** The hub closes a connection that was silent for 65 s; asked sooner, it stays, and says when the token is none any more. */
const LOOK_MS = 45_000;

/**
 * Keeps the connections to a hub and its routers for commands that come one after the other. Holds nothing that a command could lose:
 * sessions are the commands' own, which come back by themselves when this process is killed. Resolves when it was not used for so long,
 * was told to stop, is not wanted by the hub any more, or another has taken its place.
 */
export async function runLinkKeeper(
  options: LinkKeeperOptions,
  deps: LinkKeeperDeps,
  signal: AbortSignal,
): Promise<void> {
  const { clock, client, dialler } = deps;
  const { path } = options;
  const own = `${path}.${deps.pid}`;
  const beganMs = clock.monotonicMs();
  const sockets = new Set<Socket>();
  const ended = Promise.withResolvers<void>();
  /** Of commands: a look at the keeper is no use of it. */
  const uses = new Set<Socket>();
  let { idleSeconds } = options;
  let idleSinceMs = beganMs;
  let idle: Timer | undefined;
  let isRetired = false;

  const rest = () => {
    idle?.clear();
    idle = undefined;
    if (uses.size > 0) return;
    if (isRetired) return ended.resolve();
    idleSinceMs = clock.monotonicMs();
    idle = clock.timer(idleSeconds * 1000, ended.resolve);
  };
  /** Nobody finds it from here on; those who use it do so to their end. */
  const retire = () => {
    if (isRetired) return;
    isRetired = true;
    unlinkOwn(path, inode);
    rest();
  };
  const status = (): Told => {
    const restMs = idleSeconds * 1000 - (clock.monotonicMs() - idleSinceMs);
    return {
      kind: "status",
      pid: deps.pid,
      hub: options.hub,
      version: options.version,
      commands: new Set([...uses].filter((socket) => !joined.has(socket))).size,
      ageSeconds: Math.floor((clock.monotonicMs() - beganMs) / 1000),
      ...(uses.size > 0 ? {} : { endsInSeconds: Math.max(0, Math.ceil(restMs / 1000)) }),
    };
  };
  const joined = new WeakSet<Socket>();
  const use = (socket: Socket) => {
    uses.add(socket);
    rest();
  };

  const serve = (socket: Socket) => {
    const gone = new AbortController();
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => {
      gone.abort(new AppError("cancelled", "the command is gone"));
      sockets.delete(socket);
      if (uses.delete(socket)) rest();
    });
    let session: Joining | undefined;
    const wire: LinkWire = createLinkWire(socket, {
      onFrame: (pieces) => (session === undefined ? socket.destroy() : session.onFrame(pieces)),
      onWords: (words) => {
        const asked = toAsked(words);
        if (asked === undefined || session !== undefined) return void socket.destroy();
        if (asked.kind === "join") {
          joined.add(socket);
          use(socket);
          session = joinFor(asked, { socket, wire, dialler, signal: gone.signal });
        } else answer(asked, { socket, wire, signal: gone.signal });
      },
    });
    socket.once("end", () => {
      if (session === undefined) socket.end();
      else session.finish();
    });
  };
  const answer = (
    asked: Exclude<Asked, { kind: "join" }>,
    { socket, wire, signal: gone }: { readonly socket: Socket; readonly wire: LinkWire; readonly signal: AbortSignal },
  ) => {
    if (asked.kind === "status") return wire.say(status());
    if (asked.kind === "stop") {
      retire();
      return wire.say({ kind: "stopped" } satisfies Told);
    }
    if (asked.kind === "use") {
      ({ idleSeconds } = asked);
      use(socket);
      return wire.say({ kind: "used", pid: deps.pid } satisfies Told);
    }
    const { id, call } = asked;
    carryOut(call, deps, gone).then(
      (value) => wire.say({ kind: "answer", id, value } satisfies Told),
      (thrown: unknown) => {
        const error = toLinkError(thrown);
        // Others with this token would hear the same.
        if (error.code === "unauthorized") retire();
        wire.say({ kind: "answer", id, error } satisfies Told);
      },
    );
  };

  const server = createServer({ allowHalfOpen: true }, serve);
  await listen(server, own);
  const inode = lstatSync(own).ino;
  if (await isTaken(path)) {
    unlinkOwn(own, inode);
    server.close();
    return;
  }
  // Of two that begin at once the later one is found; the other sees that at its next look.
  renameSync(own, path);
  let look: Timer | undefined;
  const lookAround = () => {
    if (inodeOf(path) !== inode) return retire();
    void client.check(signal).catch((thrown: unknown) => {
      if (toLinkError(thrown).code === "unauthorized") retire();
    });
    look = clock.timer(LOOK_MS, lookAround);
  };
  rest();
  lookAround();
  for (const target of options.routers) dialler.prepare(target);
  const onAbort = () => ended.resolve();
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  await ended.promise;
  idle?.clear();
  look?.clear();
  unlinkOwn(path, inode);
  server.close();
  for (const socket of sockets) socket.destroy();
  dialler.close();
}

async function carryOut(call: LinkCall, { client, findBox }: LinkKeeperDeps, signal: AbortSignal): Promise<unknown> {
  switch (call.name) {
    case "create":
      return client.create(call.box, call.body, signal);
    case "rejoin":
      return client.rejoin(call.session, call.key, signal);
    case "get":
      return client.get(call.session, signal);
    case "find":
      return findBox(call.given, signal);
  }
}

interface Joining {
  onFrame(pieces: readonly Uint8Array[]): void;
  finish(): void;
}

function joinFor(
  { target }: Extract<Asked, { kind: "join" }>,
  {
    socket,
    wire,
    dialler,
    signal,
  }: {
    readonly socket: Socket;
    readonly wire: LinkWire;
    readonly dialler: RouterDialler;
    readonly signal: AbortSignal;
  },
): Joining {
  let carrier: Carrier | undefined;
  const say = (told: Told) => wire.say(told);
  const onWaiting = (message: string) => say({ kind: "waiting", message });
  void dialler.join(target, { onWaiting }, signal).then(
    (made) => {
      if (signal.aborted) return made.cut();
      carrier = made;
      const { sessionId, routerId, peerClient } = made;
      say({ kind: "joined", sessionId, routerId, peerClient });
      signal.addEventListener("abort", () => made.cut(), { once: true });
      made.listen({
        // How much may lie here is what the session's other end lets come.
        onFrame: (pieces) => void wire.frame(pieces),
        onDrain: () => void socket.resume(),
        onEnd: (end) => {
          say({ kind: "end", end });
          socket.end();
        },
      });
    },
    (thrown: unknown) => {
      say({ kind: "failed", error: toLinkError(thrown) });
      socket.end();
    },
  );
  return {
    onFrame: (pieces) => {
      if (carrier === undefined) socket.destroy();
      else if (!carrier.send(pieces)) socket.pause();
    },
    finish: () => {
      if (carrier === undefined) socket.destroy();
      else carrier.finish();
    },
  };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function isTaken(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

function inodeOf(path: string): number | undefined {
  try {
    return lstatSync(path).ino;
  } catch {
    return undefined;
  }
}

function unlinkOwn(path: string, inode: number): void {
  if (inodeOf(path) !== inode) return;
  try {
    unlinkSync(path);
  } catch {
    // Gone already.
  }
}
