import { StringDecoder } from "node:string_decoder";

/** A line longer than this is passed on in pieces, so that a file without line ends costs no memory. */
export const MAX_LINE_CHARACTERS = 65_536;

/** Cuts bytes into whole lines, whatever the chunks split. */
export interface LineBuffer {
  /** The whole lines that `chunk` completes, each with its line end; empty when there are none. */
  push(chunk: Buffer): string;
  /** What has no line end yet. */
  rest(): string;
}

export function createLineBuffer(): LineBuffer {
  const decoder = new StringDecoder("utf8");
  let pending = "";
  return {
    push: (chunk) => {
      pending += decoder.write(chunk);
      const end = pending.length > MAX_LINE_CHARACTERS ? pending.length : pending.lastIndexOf("\n") + 1;
      const lines = pending.slice(0, end);
      pending = pending.slice(end);
      return lines;
    },
    rest: () => pending + decoder.end(),
  };
}
