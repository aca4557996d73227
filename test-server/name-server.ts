import { createSocket } from "node:dgram";
import { once } from "node:events";

export interface NameServerPlace {
  readonly address: string;
  /** IPv4 addresses by name; every other name does not exist. */
  readonly names: Readonly<Record<string, string>>;
}

const PORT = 53;
const HEADER_BYTES = 12;
const TYPE_A = 1;
const NO_SUCH_NAME = 3;

/** A name server for the few names of a test; ended, its port answers nobody. Root only. */
export async function startNameServer({ address, names }: NameServerPlace): Promise<AsyncDisposable> {
  const socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    const answer = answerOf(query, names);
    if (answer !== undefined) socket.send(answer, from.port, from.address);
  });
  socket.bind(PORT, address);
  await once(socket, "listening");
  return {
    [Symbol.asyncDispose]: async () => {
      const closed = once(socket, "close");
      socket.close();
      await closed;
    },
  };
}

/** RFC 1035 §4: one question; a name that is known has no addresses but its IPv4 one. */
function answerOf(query: Buffer, names: NameServerPlace["names"]): Buffer | undefined {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += length + 1;
  }
  if (at + 5 > query.length) return undefined;
  const known = names[labels.join(".").toLowerCase()];
  const isAnswered = known !== undefined && query.readUInt16BE(at + 1) === TYPE_A;
  const header = Buffer.from(query.subarray(0, HEADER_BYTES));
  header.writeUInt16BE(0x8180 + (known === undefined ? NO_SUCH_NAME : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(isAnswered ? 1 : 0, 6);
  header.writeUInt32BE(0, 8);
  const question = query.subarray(HEADER_BYTES, at + 5);
  if (!isAnswered) return Buffer.concat([header, question]);
  // The name by reference, type A, class IN, no time to live, four bytes of address.
  const record = Buffer.from([0xc0, HEADER_BYTES, 0, TYPE_A, 0, 1, 0, 0, 0, 0, 0, 4, ...known.split(".").map(Number)]);
  return Buffer.concat([header, question, record]);
}
