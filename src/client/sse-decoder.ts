import { AppError } from "../base/errors.ts";

/** Of one message. */
const MAX_CHARACTERS = 8 * 1024 * 1024;

export interface SseMessage {
  /** `message` when the sender named none. */
  readonly event: string;
  readonly data: string;
  /** The last id that the stream named so far; empty before the first. */
  readonly id: string;
}

/** Cuts the text of an event stream into its messages, wherever the pieces were cut (WHATWG HTML, 9.2.6). */
export interface SseDecoder {
  /** Throws `too-large` for a message over 8 Mi characters. */
  push(text: string): SseMessage[];
}

export function createSseDecoder(): SseDecoder {
  let rest = "";
  let event = "";
  let data: string[] = [];
  let dataCharacters = 0;
  let id = "";

  const takeLine = (line: string): SseMessage | undefined => {
    if (line === "") {
      const message = data.length === 0 ? undefined : { event: event || "message", data: data.join("\n"), id };
      event = "";
      data = [];
      dataCharacters = 0;
      return message;
    }
    const colon = line.indexOf(":");
    const name = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") event = value;
    else if (name === "data") {
      data.push(value);
      dataCharacters += value.length;
    } else if (name === "id" && !value.includes("\0")) id = value;
    return undefined;
  };

  return {
    push(text) {
      const messages: SseMessage[] = [];
      // A CR at the very end may be half of a CRLF: it waits for what follows.
      const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? "";
      if (rest.length + dataCharacters > MAX_CHARACTERS) throw new AppError("too-large", "an event has no end");
      for (const line of lines) {
        const message = takeLine(line);
        if (message !== undefined) messages.push(message);
      }
      return messages;
    },
  };
}
