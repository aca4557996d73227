import type { Readable } from "node:stream";
import type { Clock } from "../../base/clock.ts";
import type { Channel, OpenedFacts } from "../../remote/channel.ts";
import type { ExitFacts } from "../../remote/exit-facts.ts";
import type { OpenWhat } from "../../remote/open-what.ts";
import type { RawTerminal, Sink } from "./console.ts";
import { createEscapeFilter, ESCAPE_HELP } from "./escape.ts";
import { type ExecOutcome, judgeExit, outcomeOfFailure, type ReceivedOutput } from "./judge-exit.ts";
import { createOutputTally, type OutputTally } from "./output-tally.ts";
import { pipeInput } from "./pipe-input.ts";
import { failure, failureOf, lostOf, type RemoteFailure } from "./remote-failure.ts";
import type { RemoteLink } from "./remote-link.ts";

export interface ExecStreams {
  /** Undefined: the command reads end of file at once. */
  readonly stdin: Readable | undefined;
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** Where the command has a terminal: the one that shows it. */
  readonly terminal: RawTerminal | undefined;
}

export interface RunningExec {
  /** Rejects with what the box refused it for. */
  readonly opened: Promise<OpenedFacts>;
  /** Name without SIG, to its whole process group. */
  signal(name: string): void;
  /** Gives it up: the box ends the command. */
  leave(reason: RemoteFailure): void;
  /** How it ended, as soon as that is known: before the session is closed. Never rejects. */
  readonly proved: Promise<ExecOutcome>;
  /** The same, once the session is closed. */
  readonly outcome: Promise<ExecOutcome>;
}

/** How much of an output may still be on its way here once the link has ended and its exit is known. */
const LAST_BYTES_MS = 2000;

/** Runs what a session was opened for, to its end. */
export function runExec(
  what: OpenWhat,
  streams: ExecStreams,
  { link, clock }: { readonly link: RemoteLink; readonly clock: Clock },
): RunningExec {
  const channel = link.session.open(what);
  const exited = Promise.withResolvers<ExitFacts>();
  const failed = Promise.withResolvers<RemoteFailure>();
  channel.on({ onExit: exited.resolve });
  // What was refused was never begun; of what was asked for and not answered nobody knows.
  channel.opened.catch(() => undefined);
  void channel.closed.then(({ error, isRefused = false }) => {
    if (error !== undefined) failed.resolve(isRefused ? failureOf(error) : lostOf(error.code, error.message));
  });
  void link.over.then((ended) =>
    failed.resolve(ended ?? failure("lost", "unavailable", "the box closed the session before the command ended")),
  );
  const out = pump(channel.readable("out"), streams.stdout);
  const err = pump(channel.readable("err"), streams.stderr);
  const release = channel.opened.then(
    () => attachInput(channel, streams, failed.resolve),
    () => () => undefined,
  );
  const finish = async (): Promise<ExecOutcome> => {
    const facts = await Promise.race([exited.promise, failed.promise]);
    if (!("how" in facts)) return outcomeOfFailure(facts);
    for (const [output, sent] of [
      [out, facts.out],
      [err, facts.err],
    ] as const) {
      output.tally.setEnd(sent.total);
    }
    // Of what is begun now nothing is lost: only a command that went on by itself may be without its beginning.
    const opened = what.kind === "attach" ? await channel.opened.catch(() => undefined) : undefined;
    const droppedBytes = opened?.droppedBytes ?? 0;
    const broken = failed.promise.then(() => clock.delay(LAST_BYTES_MS));
    // Of an output that has lost its beginning and has no end nobody can tell how much is to come.
    const unknown = facts.outputOpenAfterExit && droppedBytes > 0 ? [clock.delay(LAST_BYTES_MS)] : [];
    await Promise.race([Promise.all([out.done(), err.done()]), broken, ...unknown]);
    const outcome = judgeExit(facts, { out: out.received(), err: err.received(), droppedBytes });
    // The box may forget the command only once all of it has been handed on.
    if (outcome.status.kind !== "truncated") channel.exitSeen();
    return outcome;
  };
  const proved = finish();
  return {
    opened: channel.opened,
    signal: (name) => channel.signal(name),
    leave: (reason) => failed.resolve(reason),
    proved,
    outcome: proved.then(async (outcome) => {
      (await release)();
      await link.close();
      return outcome;
    }),
  };
}

interface Pump {
  readonly tally: OutputTally;
  /** Resolves when all that was announced has been handed on, or no more comes, or nobody reads. */
  done(): Promise<void>;
  received(): ReceivedOutput;
}

/** Takes from the box only as fast as the reader here takes. */
function pump(from: Readable, to: Sink): Pump {
  const tally = createOutputTally();
  let isCut = false;
  const run = async () => {
    try {
      for await (const bytes of from as AsyncIterable<Uint8Array>) {
        if (!(await to.write(bytes))) {
          isCut = true;
          break;
        }
        tally.add(bytes);
      }
    } catch {
      // The channel tells what went wrong; the totals tell what is missing.
    }
  };
  const ended = run();
  return {
    tally,
    done: () => Promise.race([ended, tally.complete]),
    received: () => ({ ...tally.read(), isCut }),
  };
}

/** Returns how to let go of the input and to restore the terminal. */
function attachInput(channel: Channel, { stdin, terminal, stderr }: ExecStreams, fail: (why: RemoteFailure) => void) {
  const target = channel.writable("in");
  if (stdin === undefined) {
    target.end();
    return () => undefined;
  }
  if (terminal === undefined) return pipeInput(stdin, target);
  const restore = terminal.makeRaw();
  const stopResize = terminal.onResize((size) => channel.resize(size));
  // It may have changed on the way.
  channel.resize(terminal.size());
  const filter = createEscapeFilter();
  const release = pipeInput(stdin, target, (typed) => {
    const { forward, actions } = filter.push(typed);
    for (const action of actions) {
      if (action === "leave") fail(failure("lost", "cancelled", "you left; the command is being ended"));
      else void stderr.write(Buffer.from(ESCAPE_HELP));
    }
    return forward;
  });
  return () => {
    release();
    stopResize();
    restore();
  };
}
