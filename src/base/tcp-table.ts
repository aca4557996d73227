/** One TCP socket as `/proc/net/tcp` shows it (Documentation/networking/proc_net_tcp.rst). */
export interface TcpSocket {
  readonly inode: number;
  /** `10.0.0.5:1935`, `[::1]:443`. */
  readonly remote: string;
  readonly isEstablished: boolean;
  /** Our SYN has not been answered. */
  readonly isConnecting: boolean;
  /** Written by the process and not yet acknowledged by the peer, sent or not. */
  readonly unackedBytes: number;
  /** Received and not yet read by the process. */
  readonly unreadBytes: number;
  /** `probe`: the peer's window is closed and the kernel asks now and then whether it has opened. */
  readonly timer: "none" | "retransmit" | "keepalive" | "probe" | "other";
  /** Retransmissions since the peer last acknowledged anything new. */
  readonly retransmits: number;
  /** Window probes since the peer last answered. */
  readonly unansweredProbes: number;
}

/** The same socket by its own end. */
export interface LocalSocket {
  readonly inode: number;
  /** `10.0.0.5`, `::1`, `0.0.0.0`. */
  readonly address: string;
  readonly port: number;
  readonly isListening: boolean;
  readonly isEstablished: boolean;
}

/** What both are read from, as the kernel wrote it. */
interface TableLine {
  readonly inode: number;
  readonly state: number;
  readonly fields: readonly string[];
}

const TIMERS = ["none", "retransmit", "keepalive", "other", "probe"] as const;
const ESTABLISHED = 0x01;
const SYN_SENT = 0x02;
const LISTEN = 0x0a;
const FIELD = { local: 1, remote: 2, state: 3, queues: 4, timer: 5, retransmits: 6, probes: 8, inode: 9 };

/** The sockets of `text` whose inode is wanted, by inode. Lines that the kernel would not write are left out. */
export function parseTcpTable(text: string, wanted: ReadonlySet<number>): ReadonlyMap<number, TcpSocket> {
  const found = new Map<number, TcpSocket>();
  for (const { inode, state, fields } of tableLines(text)) {
    if (!wanted.has(inode)) continue;
    const [transmit, receive] = hexPair(fields[FIELD.queues]);
    const [timer] = hexPair(fields[FIELD.timer]);
    const remote = readSocketAddress(fields[FIELD.remote] ?? "");
    if (remote === undefined || [transmit, receive, timer, state].some((value) => !Number.isInteger(value))) continue;
    found.set(inode, {
      inode,
      remote: showSocketAddress(remote),
      isEstablished: state === ESTABLISHED,
      isConnecting: state === SYN_SENT,
      unackedBytes: transmit,
      unreadBytes: receive,
      timer: TIMERS[timer] ?? "other",
      retransmits: Number.parseInt(fields[FIELD.retransmits] ?? "0", 16),
      unansweredProbes: Number.parseInt(fields[FIELD.probes] ?? "0", 10),
    });
  }
  return found;
}

/** All sockets of `text` by their own end. Lines that the kernel would not write are left out. */
export function parseLocalSockets(text: string): readonly LocalSocket[] {
  const found: LocalSocket[] = [];
  for (const { inode, state, fields } of tableLines(text)) {
    const local = readSocketAddress(fields[FIELD.local] ?? "");
    if (local === undefined) continue;
    found.push({ inode, ...local, isListening: state === LISTEN, isEstablished: state === ESTABLISHED });
  }
  return found;
}

/** Without the line of names, and without what has no inode. */
function* tableLines(text: string): Generator<TableLine> {
  for (const line of text.split("\n")) {
    const fields = line.trim().split(/\s+/);
    const inode = Number(fields[FIELD.inode]);
    if (Number.isSafeInteger(inode)) yield { inode, state: Number.parseInt(fields[FIELD.state] ?? "", 16), fields };
  }
}

function hexPair(text: string | undefined): readonly [number, number] {
  const [first = "", second = ""] = (text ?? "").split(":");
  return [Number.parseInt(first, 16), Number.parseInt(second, 16)];
}

interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

/**
 * The kernel prints each 32-bit word in the byte order of the machine: little-endian on all that Sluice runs on. An IPv4
 * address inside an IPv6 one is given as IPv4.
 */
function readSocketAddress(text: string): SocketAddress | undefined {
  const match = /^((?:[0-9A-F]{8}){1,4}):([0-9A-F]{4})$/.exec(text);
  if (match === null) return undefined;
  const [, hex = "", portHex = ""] = match;
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => (word.match(/../g) ?? []).reverse());
  const port = Number.parseInt(portHex, 16);
  const toDotted = (part: readonly string[]) => part.map((byte) => Number.parseInt(byte, 16)).join(".");
  if (bytes.length === 4) return { address: toDotted(bytes), port };
  if (bytes.slice(0, 12).join("") === "00000000000000000000FFFF") return { address: toDotted(bytes.slice(12)), port };
  const groups = (bytes.join("").match(/.{4}/g) ?? []).map((group) => group.toLowerCase());
  // URL's parser knows the short form.
  const { hostname } = new URL(`http://[${groups.join(":")}]`);
  return { address: hostname.slice(1, -1), port };
}

/** `10.0.0.5:1935`, `[::1]:443`. */
function showSocketAddress({ address, port }: SocketAddress): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
