import type { CommandIo } from "./command-context.ts";

/** One line of what is under way, for a person; silent where none watches. Goes to standard error. */
export interface Progress {
  readonly say: (text: string) => void;
  /** Takes the line away. */
  readonly end: () => void;
}

export function createProgress(io: CommandIo): Progress {
  if (!io.isTerminal) return { say: () => undefined, end: () => undefined };
  const width = (io.columns ?? 80) - 1;
  let shown = "";
  return {
    say(text) {
      if (text === shown) return;
      shown = text;
      io.writeError(`\r\u001b[K${text.slice(0, width)}`);
    },
    end: () => {
      if (shown !== "") io.writeError("\r\u001b[K");
      shown = "";
    },
  };
}
