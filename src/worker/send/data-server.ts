import { createServer, type Server, type Socket } from "node:net";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { type ScopedItem, transferScope } from "../../contract/transfer/transfer-ticket.ts";
import { fault, toFault } from "../fault.ts";
import type { BulkFiles } from "../storage/bulk-file.ts";
import { requireMounted, type Storage } from "../storage/storage.ts";
import type { TicketChecker } from "../wire/check-ticket.ts";
import { createDataLink, type DataLink } from "../wire/data-link.ts";
import { FRAME, jsonFrame } from "../wire/frames.ts";
import { helloSchema, itemsSchema, parseBody, type Want, wantSchema } from "../wire/link-messages.ts";
import type { Pace } from "../wire/pace.ts";
import { fingerprintOf, type Identity, startTlsServer } from "../wire/worker-tls.ts";
import { sendItems } from "./send-items.ts";

export interface DataServerOptions {
  readonly host: string;
  readonly port: number;
  /** Some network is trusted: bytes may go in the clear. */
  readonly allowsPlain: boolean;
}

export interface ServeDeps {
  readonly clock: Clock;
  readonly bulkFiles: BulkFiles;
  readonly tickets: TicketChecker;
  readonly storageOf: (id: string) => Storage | undefined;
  readonly pace: Pace;
  readonly onSent: (bytes: number) => void;
  readonly signal: AbortSignal;
}

export interface DataServerDeps extends LinkDeps {
  readonly log: Log;
  readonly identity: () => Identity;
}

export interface LinkDeps extends ServeDeps {
  /** A source has come with the ticket of this lease. False: nobody waits for it. Whoever takes it closes it. */
  readonly takePushed: (lease: string, attempt: number, link: DataLink) => boolean;
}

const HELLO_MS = 10_000;
const MAX_CONNECTIONS = 128;
const TLS_HANDSHAKE_BYTE = 0x16;
/** Of who speaks TLS and shows none: it is that of no ticket. */
const NO_CERTIFICATE = "none";

/** Resolves when it listens; it does until the signal. */
export async function startDataServer(options: DataServerOptions, deps: DataServerDeps): Promise<Server> {
  const server = createServer({ noDelay: true }, (socket) => {
    accept(socket, options, deps).catch((thrown: unknown) => {
      deps.log.debug(`A connection of the data plane ended: ${messageOf(thrown)}`);
      socket.destroy();
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
  server.on("error", (error) => deps.log.error(`The data plane does not listen: ${messageOf(error)}`));
  deps.signal.addEventListener("abort", () => server.close(), { once: true });
  return server;
}

async function accept(socket: Socket, { allowsPlain }: DataServerOptions, deps: DataServerDeps): Promise<void> {
  const { clock } = deps;
  const onAbort = () => socket.destroy();
  deps.signal.addEventListener("abort", onAbort, { once: true });
  socket.once("close", () => deps.signal.removeEventListener("abort", onAbort));
  socket.on("error", () => socket.destroy());
  const timer = clock.timer(HELLO_MS, () => socket.destroy());
  try {
    const first = await firstByte(socket);
    let certificate: string | undefined;
    let link: DataLink;
    if (first === TLS_HANDSHAKE_BYTE) {
      const secure = await startTlsServer(socket, deps.identity());
      secure.on("error", () => socket.destroy());
      certificate = fingerprintOf(secure) ?? NO_CERTIFICATE;
      link = createDataLink(secure, clock);
    } else {
      link = createDataLink(socket, clock);
      // Nothing of a peer that could be anybody is read, and it hears why.
      if (!allowsPlain)
        throw await refuse(link, fault("denied", "this worker takes TLS alone: no endpoint of it is trusted"));
    }
    await serveLink(link, certificate, () => timer.clear(), deps);
  } finally {
    timer.clear();
  }
}

/** Rejects when the peer breaks the protocol or the connection breaks; it is told why. Ends with the peer's end. */
export async function serveLink(
  link: DataLink,
  certificate: string | undefined,
  onHello: () => void,
  deps: LinkDeps,
): Promise<void> {
  try {
    for (;;) {
      const frame = await link.next();
      if (frame === undefined) return link.close();
      if (frame.type !== FRAME.hello) throw fault("corrupt", "the peer does not begin with a hello");
      const { way, ticket } = parseBody(helloSchema, frame.body, "hello");
      onHello();
      if (way === "push") {
        const { lease, att } = deps.tickets.check(ticket, "dst", certificate);
        if (deps.takePushed(lease, att, link)) return;
        throw fault("fenced", "nobody waits for these bytes here any more");
      }
      await serveItems(link, ticket, certificate, deps);
    }
  } catch (thrown) {
    await refuse(link, thrown);
    throw thrown;
  }
}

/**
 * Reads what the other side asks for, holds it against the ticket, and sends it. Rejects with `denied` for anything that the
 * ticket does not open.
 */
export async function serveItems(
  link: DataLink,
  ticket: string,
  certificate: string | undefined,
  deps: ServeDeps,
): Promise<void> {
  const claims = deps.tickets.check(ticket, "src", certificate);
  const { items, want } = await readAsk(link);
  if (transferScope(items) !== claims.scope) throw fault("denied", "the ticket does not open these items");
  const storage = deps.storageOf(claims.storage);
  if (storage === undefined) throw fault("unreachable", "the storage of the ticket is not here");
  if (!storage.read) throw fault("denied", `${storage.path} may not be read by transfers`);
  try {
    requireMounted(storage);
  } catch (thrown) {
    // Nothing is wrong with the files, nor with who asks for them: it waits.
    throw fault("unreachable", `at the source, ${messageOf(thrown)}`, thrown);
  }
  const letGo = storage.hold();
  try {
    await sendItems(items, want, {
      bulkFiles: deps.bulkFiles,
      root: storage.root,
      place: claims.root,
      link,
      pace: deps.pace,
      signal: deps.signal,
      onBytes: deps.onSent,
    });
  } finally {
    letGo();
  }
}

/** What a receiver says first. */
export async function readAsk(link: DataLink): Promise<{ readonly items: readonly ScopedItem[]; readonly want: Want }> {
  const items = parseBody(itemsSchema, await bodyOf(link, FRAME.items), "items");
  return { items, want: parseBody(wantSchema, await bodyOf(link, FRAME.want), "wants") };
}

async function bodyOf(link: DataLink, type: number): Promise<Buffer> {
  const frame = await link.next();
  if (frame?.type !== type) throw fault("corrupt", "the peer does not say what it wants");
  return frame.body;
}

async function refuse(link: DataLink, thrown: unknown): Promise<unknown> {
  const { code, message } = toFault(thrown);
  if (link.isOpen()) {
    await link.send(jsonFrame(FRAME.refused, { code, message: message.slice(0, 1000) })).catch(() => undefined);
  }
  link.close();
  return thrown;
}

function firstByte(socket: Socket): Promise<number> {
  return new Promise((resolve, reject) => {
    const onClose = () => reject(fault("unreachable", "the peer left"));
    socket.once("close", onClose);
    socket.once("readable", () => {
      socket.removeListener("close", onClose);
      const chunk: Buffer | null = socket.read();
      if (chunk === null) return reject(fault("unreachable", "the peer left"));
      socket.unshift(chunk);
      resolve(chunk[0] ?? 0);
    });
  });
}
