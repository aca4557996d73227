import type { EventSink } from "./event-sink.ts";

/** One open event stream of a box. */
export interface BoxConnection {
  readonly boxId: string;
  /** Of this connection alone, among all hubs. */
  readonly id: string;
  readonly address: string;
  readonly sink: EventSink;
  /** Monotonic. */
  readonly sinceMs: number;
  /** Which of the box's keys opened it; its hash once the box was read. */
  readonly keySlot: "current" | "next";
  keyHash: string | undefined;
  /** The last event that was handed to the connection. */
  cursor: string | undefined;
  /** Whether anything was sent yet: the first lap always sends an event. */
  greeted: boolean;
  /** Why it waits, when it does. */
  held: string | undefined;
  /** It has had its set: it must not stay open when it may no longer have it. */
  served: boolean;
  /** Ids of the commands that it was sent, the last ones. */
  sentCommands: ReadonlySet<string>;
  /** What of its bytes had left at the last beat, to see that it takes nothing. */
  lastFlushed: number;
  stuckBeats: number;
}

const NO_COMMANDS: ReadonlySet<string> = new Set();

export function newConnection(
  given: Pick<BoxConnection, "boxId" | "id" | "address" | "sink" | "sinceMs" | "keySlot" | "cursor">,
): BoxConnection {
  return {
    ...given,
    keyHash: undefined,
    greeted: false,
    held: undefined,
    served: false,
    sentCommands: NO_COMMANDS,
    lastFlushed: 0,
    stuckBeats: 0,
  };
}
