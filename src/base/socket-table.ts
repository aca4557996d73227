import type { Clock } from "./clock.ts";
import { readLocalSockets } from "./local-sockets.ts";
import type { LocalSocket } from "./tcp-table.ts";

/** The TCP sockets of this network namespace, for many who ask at about the same time. */
export interface SocketTable {
  /** As they were at most `maxAgeMs` ago. IPv6 sockets only where they are needed: they cost as much again. */
  read(wish: { readonly maxAgeMs: number; readonly needsV6: boolean }): readonly LocalSocket[];
}

interface Reading {
  readonly sockets: readonly LocalSocket[];
  /** Monotonic, when the reading began. */
  readonly atMs: number;
}

/** A reading walks over the kernel's hash of all sockets: 5 ms a family on a machine with 24 GiB, and nothing else is done meanwhile. */
export function createSocketTable({ clock }: { readonly clock: Clock }, read = readLocalSockets): SocketTable {
  const last = new Map<string, Reading>();
  return {
    read: ({ maxAgeMs, needsV6 }) => {
      const families = needsV6 ? (["tcp", "tcp6"] as const) : (["tcp"] as const);
      return families.flatMap((family) => {
        const held = last.get(family);
        const atMs = clock.monotonicMs();
        if (held !== undefined && atMs - held.atMs <= maxAgeMs) return held.sockets;
        const sockets = read("self", { families: [family] });
        last.set(family, { sockets, atMs });
        return sockets;
      });
    },
  };
}
