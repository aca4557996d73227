import { connect, type Socket } from "node:net";
import type { Clock } from "./clock.ts";

/**
 * Lines in the system's journal under identifiers of their own, through journald's stream socket: the protocol that a
 * unit's standard output speaks (`systemd-journald.service(8)`; seven header lines, then text). A journal that is away or
 * slow costs lines, which are counted where the next one arrives, and never holds anybody up.
 */
export interface JournalStreams {
  /** Whole lines without control characters. */
  write(identifier: string, lines: readonly string[]): void;
  /** What was written is delivered; the identifier may come back. */
  release(identifier: string): void;
}

export interface JournalStreamsOptions {
  /** journald's is `/run/systemd/journal/stdout`. */
  readonly socketPath: string;
  /** For one identifier, beyond what the kernel holds. */
  readonly maxQueuedBytes: number;
}

export const JOURNAL_SOCKET = "/run/systemd/journal/stdout";
const PRIORITY_INFO = 6;
const RECONNECT_MS = 1000;

interface Voice {
  socket: Socket | undefined;
  lost: number;
  /** Monotonic; no attempt before. */
  dialAtMs: number;
}

export function createJournalStreams(
  options: JournalStreamsOptions,
  deps: { readonly clock: Pick<Clock, "monotonicMs"> },
): JournalStreams {
  const voices = new Map<string, Voice>();

  const open = (identifier: string, voice: Voice): Socket | undefined => {
    if (voice.socket !== undefined) return voice.socket;
    const nowMs = deps.clock.monotonicMs();
    if (nowMs < voice.dialAtMs) return undefined;
    voice.dialAtMs = nowMs + RECONNECT_MS;
    // journald closes its own direction at once; ours stays open.
    const socket = connect({ path: options.socketPath, allowHalfOpen: true });
    const drop = () => {
      if (voice.socket === socket) voice.socket = undefined;
      socket.destroy();
    };
    socket.on("error", drop);
    socket.on("close", drop);
    socket.resume();
    socket.unref();
    socket.write(headerOf(identifier));
    voice.socket = socket;
    return socket;
  };

  return {
    write: (identifier, lines) => {
      if (lines.length === 0) return;
      const voice = voices.get(identifier) ?? { socket: undefined, lost: 0, dialAtMs: Number.NEGATIVE_INFINITY };
      voices.set(identifier, voice);
      const socket = open(identifier, voice);
      if (socket === undefined || socket.writableLength > options.maxQueuedBytes) {
        voice.lost += lines.length;
        return;
      }
      const lost = voice.lost === 0 ? [] : [`… ${voice.lost} lines lost: the journal did not take them`];
      voice.lost = 0;
      socket.write(`${[...lost, ...lines].join("\n")}\n`);
    },
    release: (identifier) => {
      voices.get(identifier)?.socket?.end();
      voices.delete(identifier);
    },
  };
}

/** Identifier, unit (the socket's peer tells it), priority, no level prefixes, nothing forwarded to syslog, kmsg, console. */
function headerOf(identifier: string): string {
  return `${[identifier, "", PRIORITY_INFO, 0, 0, 0, 0].join("\n")}\n`;
}
