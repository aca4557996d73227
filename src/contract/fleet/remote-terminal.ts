import { z } from "zod";
import { boxIdSchema } from "../identifier.ts";

/**
 * A shell on a box in a browser: `GET /v1/remote/terminal`, a WebSocket. Binary messages are bytes of the terminal, in both
 * directions; texts are these, as JSON. Both directions count their bytes from 0, over all connections that a terminal has: who
 * comes back says how far they have got, and nothing is lost or shown twice.
 */
export const TERMINAL_PROTOCOL = "sluice.terminal.v1";
/** A second subprotocol may carry the token; else the first message does. Never the address. */
export const TERMINAL_TOKEN_PREFIX = "bearer.";
/** Bytes that may be shown and not acknowledged; at half of it a page should acknowledge. */
export const TERMINAL_WINDOW_BYTES = 256 * 1024;
/** What is kept of what a page has acknowledged, for one that is loaded anew. */
export const TERMINAL_REPLAY_BYTES = 128 * 1024;
/** A browser that is gone may come back within this time. */
export const TERMINAL_RETURN_SECONDS = 30;

const columnSchema = z.int().min(1).max(1000);
const countSchema = z.int().min(0);
const token = z.string().min(1).max(512).optional();

/** The first message of a connection is `open` or `resume`. */
export const terminalAskSchema = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("open"),
    token,
    box: boxIdSchema,
    /** Absent: the agent's own. */
    user: z.string().max(32).optional(),
    /** Where the shell begins; absent: in its user's own directory. */
    cwd: z.string().max(4096).optional(),
    /** What it shows is to be recorded. `refused` where the hub records nothing. */
    record: z.boolean().optional(),
    cols: columnSchema,
    rows: columnSchema,
  }),
  z.strictObject({
    type: z.literal("resume"),
    token,
    /** Of `ready`. */
    id: z.string().min(1).max(64),
    /** Bytes of output that the page has. Absent: it was loaded anew, and is shown the last that the hub has of it. */
    received: countSchema.optional(),
    cols: columnSchema,
    rows: columnSchema,
  }),
]);
export type TerminalAsk = z.input<typeof terminalAskSchema>;

export const terminalSaidSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("resize"), cols: columnSchema, rows: columnSchema }),
  /** Bytes of output that the page has shown. */
  z.strictObject({ type: z.literal("ack"), received: countSchema }),
  /** Hang up. */
  z.strictObject({ type: z.literal("end") }),
]);
export type TerminalSaid = z.input<typeof terminalSaidSchema>;

/** What the hub says. An error is the last message; the connection is then closed with 4000 and the status of HTTP, such as 4403. */
export type TerminalTold =
  /**
   * `session`: of `GET /v1/remote/{id}`. `received`: bytes of input that the hub has; later ones are to be sent (again). What
   * was shown from `start` on, up to `end`, comes at once: a page that was loaded anew must not answer what programs ask of it there.
   */
  | {
      readonly type: "ready";
      readonly id: string;
      readonly session: string;
      readonly box: string;
      readonly received: number;
      readonly start: number;
      readonly end: number;
      readonly isRecorded: boolean;
    }
  | { readonly type: "ack"; readonly received: number }
  /** Every 10 s, whatever else is said. */
  | { readonly type: "beat" }
  /** One line for people, which holds until the next: the box is awaited, or the connection to it is lost. Empty: all is well. */
  | { readonly type: "note"; readonly text: string }
  /** Of the shell, after all its output. `verified`: everything that it wrote has come. */
  | { readonly type: "exit"; readonly code?: number; readonly signal?: string; readonly verified: boolean }
  | { readonly type: "error"; readonly code: string; readonly message: string };
