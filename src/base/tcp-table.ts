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

const TIMERS = ["none", "retransmit", "keepalive", "other", "probe"] as const;
const SYN_SENT = 0x02;
const ESTABLISHED = 0x01;
const FIELD = { remote: 2, state: 3, queues: 4, timer: 5, retransmits: 6, probes: 8, inode: 9 };

/** The sockets of `text` whose inode is wanted, by inode. Lines that the kernel would not write are left out. */
export function parseTcpTable(text: string, wanted: ReadonlySet<number>): ReadonlyMap<number, TcpSocket> {
  const found = new Map<number, TcpSocket>();
  for (const line of text.split("\n")) {
    const fields = line.trim().split(/\s+/);
    const inode = Number(fields[FIELD.inode]);
    if (!wanted.has(inode)) continue;
    const [transmit, receive] = hexPair(fields[FIELD.queues]);
    const [timer] = hexPair(fields[FIELD.timer]);
    const state = Number.parseInt(fields[FIELD.state] ?? "", 16);
    const remote = readSocketAddress(fields[FIELD.remote] ?? "");
    if (remote === undefined || [transmit, receive, timer, state].some((value) => !Number.isInteger(value))) continue;
    found.set(inode, {
      inode,
      remote,
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

function hexPair(text: string | undefined): readonly [number, number] {
  const [first = "", second = ""] = (text ?? "").split(":");
  return [Number.parseInt(first, 16), Number.parseInt(second, 16)];
}

/**
 * `10.0.0.5:1935`, `[::1]:443`. The kernel prints each 32-bit word in the byte order of the machine: little-endian on all
 * that Sluice runs on.
 */
export function readSocketAddress(text: string): string | undefined {
  const match = /^((?:[0-9A-F]{8}){1,4}):([0-9A-F]{4})$/.exec(text);
  if (match === null) return undefined;
  const [, hex = "", portHex = ""] = match;
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => (word.match(/../g) ?? []).reverse());
  const port = Number.parseInt(portHex, 16);
  const toDotted = (part: readonly string[]) => part.map((byte) => Number.parseInt(byte, 16)).join(".");
  if (bytes.length === 4) return `${toDotted(bytes)}:${port}`;
  if (bytes.slice(0, 12).join("") === "00000000000000000000FFFF") return `${toDotted(bytes.slice(12))}:${port}`;
  const groups = (bytes.join("").match(/.{4}/g) ?? []).map((group) => group.toLowerCase());
  // URL's parser knows the short form.
  return `${new URL(`http://[${groups.join(":")}]`).hostname}:${port}`;
}
