import type { Readable } from "node:stream";

/** Where bytes go, as fast as its reader takes them. */
export interface Sink {
  /** Resolves when more may come: `false` when nobody reads any more. */
  write(bytes: Uint8Array): Promise<boolean>;
}

export interface TerminalSize {
  readonly cols: number;
  readonly rows: number;
}

/** The terminal that a person sits at. */
export interface RawTerminal {
  /** TERM. */
  readonly type: string;
  size(): TerminalSize;
  /** Returns how to end it. */
  onResize(listener: (size: TerminalSize) => void): () => void;
  /** Hands on what is typed byte by byte. Returns how to restore the terminal; it is restored at the end of the process too. */
  makeRaw(): () => void;
}

/** The standard streams as they are: without lines, without a character set. */
export interface Console {
  readonly stdin: Readable;
  readonly isInputTerminal: boolean;
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** Where input and output are both a terminal. */
  readonly terminal: RawTerminal | undefined;
  /** Messages for a person go to a person. */
  readonly isErrorTerminal: boolean;
  /** SIGINT and its like go to the listener, and to nobody else, until the returned function is called. */
  takeSignals(listener: (name: ForwardedSignal) => void): () => void;
  /** Writes into a descriptor that this process was started with; throws `invalid` where it is none. What is returned throws the system's error. */
  openStatusDescriptor(fd: number): (text: string) => void;
}

export const FORWARDED_SIGNALS = ["INT", "TERM", "HUP", "QUIT"] as const;
export type ForwardedSignal = (typeof FORWARDED_SIGNALS)[number];
