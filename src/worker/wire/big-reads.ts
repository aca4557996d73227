import { connect, type OnReadOpts, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, connect as connectTls } from "node:tls";

/** Where the next bytes of a connection go, and who hears that they are there. */
export interface Reader {
  /** At least one byte long; asked for before each read. */
  target(): Buffer;
  /** So many bytes have come, into what `target` gave, or another where that was not asked yet. */
  taken(bytes: number, into: Uint8Array): void;
}

const readers = new WeakMap<Duplex, { reader: Reader | undefined }>();
/** For the first read, whose place is asked for before anybody reads. */
const FIRST_BYTES = 1024;

/**
 * A connection, with `tls` an encrypted one, that reads into memory of ours, so that bulk costs neither a copy nor garbage: of TLS each
 * record of 16 KiB would be an event with a buffer of its own. It is given to `readInto` in the turn in which it is connected.
 */
export function connectForBulk(
  place: { readonly host: string; readonly port: number },
  tls: ConnectionOptions | undefined,
): Socket {
  const held: { reader: Reader | undefined } = { reader: undefined };
  const onread: OnReadOpts = {
    buffer: () => held.reader?.target() ?? Buffer.alloc(FIRST_BYTES),
    callback: (bytes, into) => {
      held.reader?.taken(bytes, into);
      return true;
    },
  };
  const options = { ...place, noDelay: true, onread };
  const socket = tls === undefined ? connect(options) : connectTls({ ...tls, ...options });
  readers.set(socket, held);
  return socket;
}

/** False: the stream is not one of `connectForBulk`, and gives its bytes as `data`. */
export function readInto(stream: Duplex, reader: Reader): boolean {
  const held = readers.get(stream);
  if (held === undefined) return false;
  held.reader = reader;
  return true;
}
