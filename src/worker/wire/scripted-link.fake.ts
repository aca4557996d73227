import type { DataLink, Frame } from "./data-link.ts";

export interface ScriptedLink {
  readonly link: DataLink;
  /** The peer says this. */
  come(type: number, body?: Buffer): void;
  /** Why it was closed, each time. */
  readonly closed: readonly (Error | undefined)[];
}

/** A connection whose peer says what the test says, and has room for everything. What is sent goes nowhere. */
export function createScriptedLink(): ScriptedLink {
  const frames: Frame[] = [];
  const waiting: ((frame: Frame) => void)[] = [];
  const closed: (Error | undefined)[] = [];
  return {
    link: {
      next: () => {
        const frame = frames.shift();
        return frame === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(frame);
      },
      send: async () => undefined,
      room: async () => undefined,
      hold: () => undefined,
      took: () => undefined,
      waitFor: (work) => work,
      moved: () => 0,
      rest: () => undefined,
      wake: () => undefined,
      close: (reason) => void closed.push(reason),
      isOpen: () => closed.length === 0,
      isSealed: false,
    },
    come: (type, body = Buffer.alloc(0)) => {
      const frame = { type, body, release: () => undefined };
      const waiter = waiting.shift();
      if (waiter === undefined) frames.push(frame);
      else waiter(frame);
    },
    closed,
  };
}
