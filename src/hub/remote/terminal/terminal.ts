import type { Clock, Timer } from "../../../base/clock.ts";
import { AppError } from "../../../base/errors.ts";
import { toAppError } from "../../../contract/error-code.ts";
import { TERMINAL_RETURN_SECONDS, type TerminalTold } from "../../../contract/fleet/remote-terminal.ts";
import type { Channel } from "../../../remote/channel.ts";
import type { ExitFacts } from "../../../remote/exit-facts.ts";
import { createPipeDigest } from "../../../remote/pipe-digest.ts";
import type { RemoteSession } from "../../../remote/remote-session.ts";
import { createOutputWindow } from "./output-window.ts";
import type { Recorder } from "./recorder.ts";

/** The page that shows a terminal at this moment. */
export interface TerminalViewer {
  show(bytes: Uint8Array): void;
  tell(message: TerminalTold): void;
  /** Nothing more comes. */
  leave(error?: AppError): void;
}

export interface TerminalPlace {
  /** Bytes of output that the page has; absent: it was loaded anew, and is shown what is left of what it had. */
  readonly received: number | undefined;
  readonly cols: number;
  readonly rows: number;
}

/** A shell on a box for a page that may go away and come back. */
export interface Terminal {
  readonly id: string;
  readonly tokenId: string;
  readonly isOver: boolean;
  /** Another page that shows it is sent away; so is this one where it is over. `conflict`: what comes after `received` is not there. */
  attach(viewer: TerminalViewer, at: TerminalPlace): void;
  /** The page is gone: it may come back for a while. */
  detach(viewer: TerminalViewer): void;
  /** Calls back when there is room for more. */
  type(bytes: Uint8Array, onRoom: () => void): void;
  acknowledge(received: number): void;
  resize(size: { readonly cols: number; readonly rows: number }): void;
  /** One line for people, which holds until the next; empty: all is well. A page that comes later is told too. */
  note(text: string): void;
  /** Hangs up, or says why it is over. */
  end(error?: AppError): void;
  /** With the reason, unless it ended in order. */
  readonly over: Promise<AppError | undefined>;
}

export interface TerminalFacts {
  readonly id: string;
  readonly tokenId: string;
  readonly sessionId: string;
  readonly box: string;
}

/** What was shown last may still be on its way to the page. */
const LINGER_MS = 10_000;

export function createTerminal(
  facts: TerminalFacts,
  deps: {
    readonly session: RemoteSession;
    readonly channel: Channel;
    readonly recorder: Recorder | undefined;
    readonly clock: Clock;
  },
): Terminal {
  const { session, channel, recorder, clock } = deps;
  const output = createOutputWindow();
  const over = Promise.withResolvers<AppError | undefined>();
  const input = channel.writable("in");
  const shown = channel.readable("out");
  const digest = createPipeDigest();
  let viewer: TerminalViewer | undefined;
  let typed = 0;
  let exit: ExitFacts | undefined;
  let isEnded = false;
  let isComplete = false;
  let problem: AppError | undefined;
  let isOver = false;
  let away: Timer | undefined;
  let linger: Timer | undefined;
  let note = "";
  /** Who typed more than the box took so far. */
  let waiting: (() => void) | undefined;

  const letType = () => {
    const call = waiting;
    waiting = undefined;
    call?.();
  };
  const finish = () => {
    if (isOver) return;
    isOver = true;
    away?.clear();
    linger?.clear();
    recorder?.close();
    session.close(problem);
    viewer?.leave(problem);
    viewer = undefined;
    letType();
    over.resolve(problem);
  };

  const isVerified = ({ out }: ExitFacts) => {
    const { total, sha256 } = digest.read();
    return total === out.total && Buffer.compare(sha256, out.sha256) === 0;
  };

  /** Everything is here that will come: it is said once, to whoever looks. */
  const conclude = () => {
    if (exit === undefined || !isEnded || isOver) return;
    if (linger === undefined) {
      isComplete = isVerified(exit);
      channel.exitSeen();
      // Nothing takes what is typed any more, and what the page acknowledges comes behind it.
      letType();
      // The session ends in order; the page may come for the rest.
      session.close();
      linger = clock.timer(LINGER_MS, finish);
    }
    const { how } = exit;
    const facts = how.kind === "code" ? { code: how.code } : { signal: how.signal };
    viewer?.tell({ type: "exit", ...facts, verified: isComplete });
    leaveIfDone();
  };
  const leaveIfDone = () => {
    if (linger !== undefined && viewer !== undefined && output.unacknowledged === 0) finish();
  };

  shown.on("data", (bytes: Uint8Array) => {
    digest.add(bytes);
    output.push(bytes);
    if (recorder?.output(bytes) === false) {
      shown.pause();
      recorder.onRoom(flow);
    }
    viewer?.show(bytes);
    if (output.isFull) shown.pause();
  });
  const flow = () => {
    if (!output.isFull && recorder?.isBusy !== true) shown.resume();
  };
  shown.once("end", () => {
    isEnded = true;
    conclude();
  });
  // A terminal has one output; the pipe for errors is there all the same, and whoever waits for its end waits for all.
  channel.readable("err").resume();
  for (const stream of [shown, input, channel.readable("err")]) stream.on("error", () => undefined);
  channel.on({
    onExit: (given) => {
      exit = given;
      // What it started may hold the output for ever.
      if (given.outputOpenAfterExit) isEnded = true;
      conclude();
    },
  });
  input.on("drain", letType);
  void channel.closed.then(({ error }) => {
    if (linger !== undefined) return;
    problem ??= error;
    finish();
  });
  void session.closed.then(({ code, message }) => {
    if (linger !== undefined) return;
    if (code !== undefined) problem ??= new AppError(code, message);
    finish();
  });
  recorder?.onFailed((error) => {
    problem ??= error;
    finish();
  });

  const outputAfter = (received: number) => {
    const pieces = output.from(received);
    if (pieces !== undefined) return { start: received, pieces };
    const allowed = `${output.total - output.unacknowledged} to ${output.total}`;
    throw new AppError("conflict", `received: given ${received}; allowed: ${allowed}`, { field: "received" });
  };

  return {
    id: facts.id,
    tokenId: facts.tokenId,
    get isOver() {
      return isOver;
    },
    attach: (next, { received, cols, rows }) => {
      if (isOver) return next.leave(problem);
      const { start, pieces } = received === undefined ? output.replay() : outputAfter(received);
      away?.clear();
      away = undefined;
      viewer?.leave(new AppError("conflict", "another page shows this terminal now"));
      viewer = next;
      output.acknowledge(start);
      next.tell({
        type: "ready",
        id: facts.id,
        session: facts.sessionId,
        box: facts.box,
        received: typed,
        start,
        end: output.total,
        isRecorded: recorder !== undefined,
      });
      if (note !== "") next.tell({ type: "note", text: note });
      for (const bytes of pieces) next.show(bytes);
      // A program that fills the screen draws it anew only when the size has changed.
      if (received === undefined && rows > 1) channel.resize({ cols, rows: rows - 1 });
      channel.resize({ cols, rows });
      recorder?.resize({ cols, rows });
      flow();
      conclude();
    },
    detach: (gone) => {
      if (viewer !== gone || isOver) return;
      viewer = undefined;
      away = clock.timer(TERMINAL_RETURN_SECONDS * 1000, () => {
        problem ??= new AppError("timeout", `its page did not come back within ${TERMINAL_RETURN_SECONDS} s`);
        finish();
      });
    },
    type: (bytes, onRoom) => {
      if (isOver || linger !== undefined || input.writableEnded || input.destroyed) return onRoom();
      typed += bytes.length;
      const hasRoom = input.write(bytes);
      viewer?.tell({ type: "ack", received: typed });
      if (hasRoom) onRoom();
      else waiting = onRoom;
    },
    acknowledge: (received) => {
      if (!output.acknowledge(received)) {
        throw new AppError("invalid", `received: given ${received}; allowed: at most ${output.total}`, {
          field: "received",
        });
      }
      flow();
      leaveIfDone();
    },
    resize: (size) => {
      if (isOver) return;
      channel.resize(size);
      recorder?.resize(size);
    },
    note: (text) => {
      if (text === note) return;
      note = text;
      viewer?.tell({ type: "note", text });
    },
    end: (error) => {
      problem ??= error;
      finish();
    },
    over: over.promise,
  };
}

export function errorMessage(thrown: unknown): Extract<TerminalTold, { readonly type: "error" }> {
  const { code, message } = toAppError(thrown);
  return { type: "error", code, message };
}
