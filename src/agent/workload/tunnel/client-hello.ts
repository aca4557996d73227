import type { TlsVersion } from "../../../contract/tunnel-spec.ts";

/** First words of TLS (RFC 5246 §7.4.1, RFC 8446 §4.1), as much of them as shows what an end would agree to. */

/** Numbers of TLS versions on the wire. */
export const WIRE_VERSIONS = { "1.0": 0x0301, "1.1": 0x0302, "1.2": 0x0303, "1.3": 0x0304 } as const;

/** Suites that encrypt nothing (OpenSSL's eNULL, and the two of RFC 9150). */
export const NULL_SUITES: readonly number[] = [
  0x0001, 0x0002, 0x002c, 0x002d, 0x002e, 0x003b, 0x00b0, 0x00b1, 0x00b4, 0x00b5, 0x00b8, 0x00b9, 0xc006, 0xc010,
  0xc015, 0xc039, 0xc03a, 0xc03b, 0xc0b4, 0xc0b5,
];
/** Suites in which nobody says who he is (OpenSSL's aNULL). */
export const ANONYMOUS_SUITES: readonly number[] = [
  0x0018, 0x001b, 0x0034, 0x003a, 0x0046, 0x006c, 0x006d, 0x0089, 0x00a6, 0x00a7, 0x00bf, 0x00c5, 0xc015, 0xc017,
  0xc018, 0xc019,
];
/** What a good server of TLS 1.2 or an old one would find something in, with certificates or shared keys. */
export const USUAL_SUITES: readonly number[] = [
  0xc02b, 0xc02c, 0xcca9, 0xc02f, 0xc030, 0xcca8, 0xc009, 0xc00a, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
  0xccac, 0xc035, 0xc036, 0xc037, 0x008c, 0x008d, 0x00a8, 0x00a9, 0x00ae,
];

const HANDSHAKE = 22;
const ALERT = 21;
const CLIENT_HELLO = 1;
const SERVER_HELLO = 2;
const SUPPORTED_VERSIONS = 0x002b;

export interface ClientHelloOptions {
  /** The highest that is offered, at most 1.2: every lower one is offered with it. */
  readonly version: number;
  readonly suites: readonly number[];
  /** 32 bytes. */
  readonly random: Buffer;
}

export function buildClientHello({ version, suites, random }: ClientHelloOptions): Buffer {
  const extensions = Buffer.concat([
    extension(0x000a, vector(2, words([29, 23, 24, 25]))),
    extension(0x000b, vector(1, Buffer.from([0]))),
    extension(0x000d, vector(2, words([0x0403, 0x0503, 0x0804, 0x0805, 0x0401, 0x0501, 0x0203, 0x0201]))),
    extension(0xff01, Buffer.from([0])),
  ]);
  const body = Buffer.concat([
    words([version]),
    random,
    vector(1, Buffer.alloc(0)),
    vector(2, words(suites)),
    vector(1, Buffer.from([0])),
    vector(2, extensions),
  ]);
  const message = Buffer.concat([Buffer.from([CLIENT_HELLO]), vector(3, body)]);
  return Buffer.concat([Buffer.from([HANDSHAKE]), words([WIRE_VERSIONS["1.0"]]), vector(2, message)]);
}

export type ServerReply =
  | { readonly kind: "alert"; readonly description: number }
  | { readonly kind: "hello"; readonly version: number; readonly suite: number }
  | { readonly kind: "other" };

/** What a server answered to a ClientHello: its first record. `undefined` until there is enough of it. */
export function readServerReply(bytes: Buffer): ServerReply | undefined {
  if (bytes.length < 7) return undefined;
  if (bytes[0] === ALERT && bytes[1] === 3) return { kind: "alert", description: bytes[6] ?? 0 };
  if (bytes[0] !== HANDSHAKE || bytes[1] !== 3 || bytes[5] !== SERVER_HELLO) return { kind: "other" };
  const suiteAt = 9 + 2 + 32 + 1 + (bytes[43] ?? 0);
  if (bytes.length < suiteAt + 2) return undefined;
  return { kind: "hello", version: bytes.readUInt16BE(9), suite: bytes.readUInt16BE(suiteAt) };
}

export interface OfferedTls {
  readonly suites: readonly number[];
  /** Absent where the client does not list them: then it takes every one up to `highest`. */
  readonly versions: readonly number[] | undefined;
  readonly highest: number;
}

/** What a client offers. `undefined` when these bytes are not a whole ClientHello in one record. */
export function parseClientHello(bytes: Buffer): OfferedTls | undefined {
  try {
    if (bytes[0] !== HANDSHAKE || bytes[5] !== CLIENT_HELLO) return undefined;
    let at = 9;
    const legacy = bytes.readUInt16BE(at);
    at += 2 + 32;
    at += 1 + bytes.readUInt8(at);
    const suites = readWords(bytes, at + 2, bytes.readUInt16BE(at));
    at += 2 + bytes.readUInt16BE(at);
    at += 1 + bytes.readUInt8(at);
    const end = at + 2 + bytes.readUInt16BE(at);
    for (at += 2; at < end; at += 4 + bytes.readUInt16BE(at + 2)) {
      if (bytes.readUInt16BE(at) !== SUPPORTED_VERSIONS) continue;
      const versions = readWords(bytes, at + 5, bytes.readUInt8(at + 4));
      return { suites, versions, highest: Math.max(...versions) };
    }
    return { suites, versions: undefined, highest: legacy };
  } catch {
    return undefined;
  }
}

/** The lowest version that a client would take; `undefined` where it does not say. */
export function lowestOffered({ versions }: OfferedTls): number | undefined {
  return versions === undefined ? undefined : Math.min(...versions);
}

export function versionName(version: number): string {
  const found = Object.entries(WIRE_VERSIONS).find(([, number]) => number === version)?.[0];
  return found === undefined ? `TLS version 0x${version.toString(16)}` : `TLS ${found}`;
}

export function versionBelow(minTls: TlsVersion): number {
  return WIRE_VERSIONS[minTls] - 1;
}

const ALERTS: Readonly<Record<number, string>> = {
  10: "unexpected message",
  20: "bad record MAC",
  40: "handshake failure",
  42: "bad certificate",
  47: "illegal parameter",
  48: "unknown authority",
  50: "decode error",
  70: "protocol version",
  71: "insufficient security",
  80: "internal error",
  115: "unknown PSK identity",
  116: "certificate required",
};

export function alertName(description: number): string {
  return `alert ${description} (${ALERTS[description] ?? "RFC 8446 §6"})`;
}

function extension(type: number, content: Buffer): Buffer {
  return Buffer.concat([words([type]), vector(2, content)]);
}

/** `content` with its length in so many bytes before it. */
function vector(lengthBytes: 1 | 2 | 3, content: Buffer): Buffer {
  const length = Buffer.alloc(lengthBytes);
  length.writeUIntBE(content.length, 0, lengthBytes);
  return Buffer.concat([length, content]);
}

function words(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  for (const [index, value] of values.entries()) bytes.writeUInt16BE(value, index * 2);
  return bytes;
}

function readWords(bytes: Buffer, at: number, lengthBytes: number): number[] {
  return Array.from({ length: lengthBytes / 2 }, (_, index) => bytes.readUInt16BE(at + index * 2));
}
