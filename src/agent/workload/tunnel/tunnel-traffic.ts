import { readLocalSockets } from "../../../base/local-sockets.ts";
import { readProcText } from "../../../base/proc-text.ts";
import { socketInodes } from "../../../base/socket-inodes.ts";
import type { LocalSocket } from "../../../base/tcp-table.ts";
import type { TunnelSpec } from "../../../contract/tunnel-spec.ts";
import type { ListenPoint } from "./port-check.ts";

export interface TunnelTraffic {
  /**
   * Payload since the process started, both ways together, within a few per cent: what the process read and wrote, halved,
   * for every byte comes in on one side and leaves on the other. TLS adds 22 bytes to each record of at most 16 KiB, each
   * handshake some 3 KB, and the start 40 KB. It counts on through a restart of the agent.
   */
  readonly bytes: number | undefined;
  /** Open ones, by the side that they came in on. */
  readonly connections: number;
  /** Everything that the process listens on. */
  readonly listens: readonly ListenPoint[];
}

/** What the kernel tells of a running stunnel, from outside. `undefined` when it is gone or not ours to look into. `all`: the sockets of its network. */
export function readTunnelTraffic(
  pid: number,
  { legs }: Pick<TunnelSpec, "legs">,
  all: readonly LocalSocket[] = readLocalSockets(pid),
): TunnelTraffic | undefined {
  const held = socketInodes(pid);
  if (held === undefined) return undefined;
  const inodes = new Set(held);
  const sockets = all.filter(({ inode }) => inodes.has(inode));
  const ports = new Set(legs.map(({ listen }) => listen.port));
  return {
    bytes: readBytes(pid),
    connections: sockets.filter(({ isEstablished, port }) => isEstablished && ports.has(port)).length,
    listens: sockets.filter(({ isListening }) => isListening).map(({ address, port }) => ({ address, port })),
  };
}

/** Every read and write of stunnel's is a read(2) or write(2), which the kernel counts; that of its sockets too. */
function readBytes(pid: number): number | undefined {
  const text = readProcText(`/proc/${pid}/io`) ?? "";
  const [read = Number.NaN, written = Number.NaN] = ["rchar", "wchar"].map((name) =>
    Number(new RegExp(`^${name}: (\\d+)$`, "m").exec(text)?.[1]),
  );
  const sum = (read + written) / 2;
  return Number.isFinite(sum) ? Math.round(sum) : undefined;
}
