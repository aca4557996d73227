/** What a person wants of this program, not of the box. */
export type EscapeAction = "leave" | "help";

export interface EscapeFilter {
  /** What goes to the box, and what was asked for in between. */
  push(typed: Uint8Array): { readonly forward: Uint8Array; readonly actions: readonly EscapeAction[] };
}

const TILDE = 0x7e;
const DOT = 0x2e;
const QUESTION = 0x3f;
const LINE_ENDS: ReadonlySet<number> = new Set([0x0a, 0x0d]);

export const ESCAPE_HELP =
  "\r\nAt the beginning of a line:\r\n  ~.  leave; the command is ended\r\n  ~?  this help\r\n  ~~  one tilde\r\n";

/** As in ssh: `~.` at the beginning of a line leaves, `~?` helps, `~~` is one tilde; any other tilde goes through. */
export function createEscapeFilter(): EscapeFilter {
  let atLineStart = true;
  let hasTilde = false;
  return {
    push(typed) {
      const forward: number[] = [];
      const actions: EscapeAction[] = [];
      for (const byte of typed) {
        if (hasTilde) {
          hasTilde = false;
          if (byte === DOT) {
            actions.push("leave");
            continue;
          }
          if (byte === QUESTION) {
            actions.push("help");
            atLineStart = true;
            continue;
          }
          forward.push(TILDE);
          atLineStart = false;
          if (byte === TILDE) continue;
        } else if (atLineStart && byte === TILDE) {
          hasTilde = true;
          continue;
        }
        forward.push(byte);
        atLineStart = LINE_ENDS.has(byte);
      }
      return { forward: Uint8Array.from(forward), actions };
    },
  };
}
