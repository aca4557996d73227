import type { IncomingMessage } from "node:http";
import { type WebSocket, WebSocketServer } from "ws";
import type { z } from "zod";
import { AppError, messageOf } from "../../../base/errors.ts";
import { ERROR_POLICY, toAppError } from "../../../contract/error-code.ts";
import {
  TERMINAL_PROTOCOL,
  TERMINAL_TOKEN_PREFIX,
  type TerminalTold,
  terminalAskSchema,
  terminalSaidSchema,
} from "../../../contract/fleet/remote-terminal.ts";
import type { Authenticator } from "../../auth/authenticator.ts";
import { parseInput } from "../../http/parse-input.ts";
import { type Call, type Route, route, type Wire } from "../../http/route.ts";
import type { HubContext } from "../../hub-context.ts";
import type { AskedBy, Operator } from "../remote-admission.ts";
import { errorMessage, type Terminal, type TerminalViewer } from "./terminal.ts";
import type { TerminalWish } from "./terminals.ts";

export interface TerminalRouteDeps {
  readonly context: Pick<HubContext, "clock" | "log">;
  readonly authenticator: Pick<Authenticator, "identify" | "watch">;
  readonly terminals: {
    open(wish: TerminalWish, by: AskedBy): Promise<Terminal>;
    /** `not-found`: it is over, or another's. */
    find(id: string, caller: Operator): Terminal;
  };
}

const MAX_MESSAGE_BYTES = 64 * 1024;
/** Who has connected says within this time who they are and what they want. */
const ASK_MS = 10_000;
const MAX_UNASKED = 64;
/** A page hears something that often, and takes longer silence for a hub that is gone. */
const PING_MS = 10_000;
const CLOSE_MS = 2000;
/** What a page that does not read may leave with this hub, beside the window of its terminal. */
const MAX_BUFFERED_BYTES = 1024 * 1024;
const MAX_REASON_BYTES = 120;

/** A shell on a box for a page: rights, limits and audit are those of every remote session. */
export function createTerminalRoute(deps: TerminalRouteDeps): Route {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    handleProtocols: (offered) => (offered.has(TERMINAL_PROTOCOL) ? TERMINAL_PROTOCOL : false),
  });
  let unasked = 0;

  return route({
    method: "GET",
    path: "/v1/remote/terminal",
    // Browsers send no token with it: who asks is told by the first message.
    access: "public",
    summary: "A shell on a box in a browser, as a WebSocket; the token is in a subprotocol or in the first message",
    streamType: "application/octet-stream",
    stream: async (call, wire) => {
      requireWebSocket(wire);
      requireOrigin(wire.request, call.origin);
      requireProtocol(wire.request);
      if (unasked >= MAX_UNASKED) throw new AppError("exhausted", "too many connections have not said what they want");
      const socket = await accept(server, wire);
      unasked++;
      const asked = ask(socket, deps).finally(() => unasked--);
      await serve(socket, asked, { call, token: tokenOf(wire.request), deps });
    },
  });
}

function requireWebSocket({ request, upgradeHead }: Wire): void {
  if (upgradeHead !== undefined && request.headers.upgrade?.toLowerCase() === "websocket") return;
  throw new AppError("invalid", "Upgrade: given nothing; allowed: websocket", { field: "Upgrade" });
}

/** A page of another site must not open shells with what it was given. Programs send none. */
function requireOrigin({ headers: { origin } }: IncomingMessage, own: string): void {
  if (origin === undefined) return;
  if (URL.canParse(origin) && URL.canParse(own) && new URL(origin).host === new URL(own).host) return;
  throw new AppError("refused", "Origin: given that of another site; allowed: the hub's own pages", {
    field: "Origin",
  });
}

/** Who speaks another form of it is told so, and not misunderstood. */
function requireProtocol(request: IncomingMessage): void {
  if (offeredBy(request).includes(TERMINAL_PROTOCOL)) return;
  throw new AppError("invalid", `Sec-WebSocket-Protocol: allowed: ${TERMINAL_PROTOCOL}`, {
    field: "Sec-WebSocket-Protocol",
  });
}

function tokenOf(request: IncomingMessage): string | undefined {
  const found = offeredBy(request).find((text) => text.startsWith(TERMINAL_TOKEN_PREFIX));
  return found?.slice(TERMINAL_TOKEN_PREFIX.length);
}

function offeredBy({ headers }: IncomingMessage): readonly string[] {
  return (headers["sec-websocket-protocol"] ?? "").split(",").map((text) => text.trim());
}

/** Rejects where the handshake is none: the library has answered it then. */
function accept(server: WebSocketServer, { request, response, upgradeHead }: Wire): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const { socket } = request;
    socket.once("close", () => reject(new AppError("cancelled", "the connection ended")));
    response.detachSocket(socket);
    server.handleUpgrade(request, socket, upgradeHead ?? Buffer.alloc(0), resolve);
  });
}

interface Asked {
  readonly wish: z.output<typeof terminalAskSchema>;
  /** What came in one piece with it: read by now, and to be taken once it is known who sends it. */
  readonly early: readonly SocketMessage[];
}

/** As the socket hands it over. */
type RawMessage = Buffer | ArrayBuffer | Buffer[];

interface SocketMessage {
  readonly data: RawMessage;
  readonly isBinary: boolean;
}

/** The first message. */
function ask(socket: WebSocket, { context }: TerminalRouteDeps): Promise<Asked> {
  return new Promise((resolve, reject) => {
    const early: SocketMessage[] = [];
    const late = context.clock.timer(ASK_MS, () =>
      reject(new AppError("timeout", `nothing was asked within ${ASK_MS / 1000} s`)),
    );
    socket.once("message", (data, isBinary) => {
      late.clear();
      // Nothing more is read before it is known who sends it.
      socket.pause();
      socket.on("message", (next, isNextBinary) => early.push({ data: next, isBinary: isNextBinary }));
      try {
        if (isBinary) throw new AppError("invalid", "the first message must be `open` or `resume`, as text");
        resolve({ wish: parseInput(terminalAskSchema, jsonOf(String(data)), "message"), early });
      } catch (thrown) {
        reject(toAppError(thrown));
      }
    });
    socket.once("close", () => {
      late.clear();
      reject(new AppError("cancelled", "the connection ended"));
    });
  });
}

interface Served {
  readonly call: Call;
  readonly token: string | undefined;
  readonly deps: TerminalRouteDeps;
}

/** Resolves when the connection has ended. */
async function serve(socket: WebSocket, asked: Promise<Asked>, { call, token, deps }: Served): Promise<void> {
  const { context, authenticator, terminals } = deps;
  const { clock, log } = context;
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.on("error", (thrown) => log.debug(`The connection of a terminal broke: ${messageOf(thrown)}`));
  const viewer = viewerOf(socket, clock);
  const right = new AbortController();
  const life = AbortSignal.any([call.signal, right.signal]);
  const onOver = () => viewer.leave(toAppError(life.reason));
  life.addEventListener("abort", onOver, { once: true });
  const stopPings = keepAlive(socket, { clock, viewer });
  let watch: Disposable | undefined;
  let terminal: Terminal | undefined;
  try {
    const { wish, early } = await asked;
    const given = token ?? wish.token;
    const caller = await authenticator.identify(given);
    const operator = requireOperator(caller);
    watch = authenticator.watch(given, caller, right);
    const { cols, rows } = wish;
    if (wish.type === "open") {
      const { box, user, cwd, record = false } = wish;
      const by = { caller: operator, request: undefined, address: call.address, origin: call.origin };
      terminal = await terminals.open({ box, user, cwd, isRecorded: record, cols, rows }, by);
    } else terminal = terminals.find(wish.id, operator);
    if (socket.readyState === socket.OPEN) {
      terminal.attach(viewer, { received: wish.type === "open" ? 0 : wish.received, cols, rows });
    } else terminal.end();
    take(socket, { terminal, viewer, early });
    socket.resume();
  } catch (thrown) {
    viewer.leave(toAppError(thrown));
  }
  await closed;
  stopPings();
  life.removeEventListener("abort", onOver);
  watch?.[Symbol.dispose]();
  if (right.signal.aborted) terminal?.end(toAppError(right.signal.reason));
  else terminal?.detach(viewer);
}

function requireOperator(caller: Awaited<ReturnType<Authenticator["identify"]>>): Operator {
  if (caller.kind === "anybody") {
    throw new AppError(
      "unauthorized",
      `this needs a token: in the first message, or as subprotocol ${TERMINAL_TOKEN_PREFIX}…`,
    );
  }
  if (caller.kind !== "operator" || (caller.role !== "operator" && caller.role !== "admin")) {
    throw new AppError("refused", "this needs the role operator");
  }
  return caller;
}

/** What the page sends from now on. */
function take(
  socket: WebSocket,
  given: { readonly terminal: Terminal; readonly viewer: TerminalViewer; readonly early: readonly SocketMessage[] },
): void {
  const { terminal, viewer, early } = given;
  const onMessage = (data: RawMessage, isBinary: boolean) => {
    try {
      if (isBinary) {
        socket.pause();
        terminal.type(bytesOf(data), () => socket.resume());
        return;
      }
      const said = parseInput(terminalSaidSchema, jsonOf(String(data)), "message");
      if (said.type === "resize") terminal.resize(said);
      else if (said.type === "ack") terminal.acknowledge(said.received);
      else terminal.end();
    } catch (thrown) {
      viewer.leave(toAppError(thrown));
    }
  };
  socket.removeAllListeners("message");
  for (const { data, isBinary } of early) onMessage(data, isBinary);
  socket.on("message", onMessage);
}

function viewerOf(socket: WebSocket, clock: HubContext["clock"]): TerminalViewer {
  let hasLeft = false;
  const tell = (message: TerminalTold) => {
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(message));
  };
  const leave = (error?: AppError) => {
    if (hasLeft) return;
    hasLeft = true;
    if (error !== undefined) tell(errorMessage(error));
    const status = error === undefined ? 1000 : 4000 + ERROR_POLICY[toAppError(error).code].http;
    socket.close(status, reasonOf(error));
    // It is not waited for for ever that the page says goodbye too.
    const cut = clock.timer(CLOSE_MS, () => socket.terminate());
    socket.once("close", () => cut.clear());
    socket.resume();
  };
  return {
    show: (bytes) => {
      if (socket.readyState !== socket.OPEN || hasLeft) return;
      // The window bounds it already; a page that acknowledges what it never read does not pass this.
      if (socket.bufferedAmount > MAX_BUFFERED_BYTES) socket.terminate();
      else socket.send(bytes, { binary: true });
    },
    tell,
    leave,
  };
}

function reasonOf(error: AppError | undefined): string {
  const text = error?.message ?? "over";
  return Buffer.from(text)
    .subarray(0, MAX_REASON_BYTES)
    .toString("utf8")
    .replace(/\uFFFD+$/u, "");
}

/** A page behind a network that is gone says nothing: it is let go, and may come back. */
function keepAlive(
  socket: WebSocket,
  { clock, viewer }: { readonly clock: HubContext["clock"]; readonly viewer: TerminalViewer },
): () => void {
  let isAlive = true;
  socket.on("pong", () => {
    isAlive = true;
  });
  const beat = () => {
    // Of one that is not read, since the box takes nothing more now, nothing can be heard.
    if (!(isAlive || socket.isPaused)) {
      socket.terminate();
      return;
    }
    isAlive = socket.isPaused;
    if (socket.readyState === socket.OPEN) socket.ping();
    // Pages cannot see pings.
    viewer.tell({ type: "beat" });
    timer = clock.timer(PING_MS, beat);
  };
  let timer = clock.timer(PING_MS, beat);
  return () => timer.clear();
}

function bytesOf(data: RawMessage): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new AppError("invalid", "message: given what is no JSON", { field: "message" });
  }
}
