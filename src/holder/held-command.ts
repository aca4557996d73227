import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { ExitStatus } from "../base/spawn.ts";
import { createTurnBatch } from "../base/turn-batch.ts";
import type { Channel } from "../remote/channel.ts";
import type { ExitFacts, KilledByName } from "../remote/exit-facts.ts";
import { endSession, type KillLadderDeps, signalGroup } from "./kill-ladder.ts";
import { createOutputSpool, type OutputSpool } from "./output-spool.ts";
import { type PumpEnd, pumpOutput } from "./pump-output.ts";
import type { RunningCommand, TerminalSize } from "./running-command.ts";
import type { KeptCommand } from "./session-why.ts";

/** A command with whoever looks at it: one channel at a time, or nobody where it was detached. */
export interface HeldCommand {
  readonly pid: number;
  /** Brings the channel to it: accepts it, and tells it the exit. An earlier channel is reset. */
  serve(channel: Channel): void;
  /** To its whole group. Unknown names are ignored. */
  signal(name: string): boolean;
  resize(size: TerminalSize): void;
  /** Ends it and all that runs in its session, unless it has exited by itself. Resolves when that is done. */
  end(killedBy: KilledByName): Promise<void>;
  /** It has exited, and its outputs are closed or given up. */
  readonly over: Promise<CommandEnd>;
  /** Its operator has everything, or nobody will ask any more. */
  readonly told: Promise<void>;
  forget(): void;
  /** For whoever looks for what holds it up. */
  facts(): KeptCommand;
}

export interface CommandEnd {
  readonly status: ExitStatus;
  readonly killedBy: KilledByName | undefined;
  readonly outputOpenAfterExit: boolean;
  readonly wallMs: number;
}

export interface HeldCommandOptions {
  /** Where it goes on without a channel: what it writes is kept there. */
  readonly spoolDirectory: string | undefined;
  readonly name: string;
}

export interface HeldCommandDeps extends KillLadderDeps {
  readonly clock: Clock;
}

/** What may wait here for a command that reads slowly. */
const HOLD_ABOVE_BYTES = 256 * 1024;
/** Of both outputs together. */
export const SPOOL_BYTES = 16 * 1024 * 1024;
/** What an operator may send: what a terminal sends, and what programs have agreed on a meaning for. */
const SIGNALS: ReadonlySet<string> = new Set("HUP INT QUIT KILL USR1 USR2 TERM CONT STOP TSTP WINCH ALRM".split(" "));

export function createHeldCommand(
  running: RunningCommand,
  { spoolDirectory, name }: HeldCommandOptions,
  deps: HeldCommandDeps,
): HeldCommand {
  const { clock } = deps;
  const startedMs = clock.monotonicMs();
  const told = Promise.withResolvers<void>();
  const over = Promise.withResolvers<CommandEnd>();
  const spools = spoolDirectory === undefined ? undefined : openSpools(running, spoolDirectory, name);
  let served: Channel | undefined;
  let killedBy: KilledByName | undefined;
  let lastSignal: string | undefined;
  let ending: Promise<void> | undefined;
  let wallMs = 0;
  let hasExited = false;

  const settle = async (pumps: readonly Promise<PumpEnd>[]) => {
    const status = await running.exited;
    const ends = await Promise.all(pumps);
    over.resolve({
      status,
      killedBy: killedBy ?? (status.signal !== null && status.signal === `SIG${lastSignal}` ? "operator" : undefined),
      outputOpenAfterExit: ends.includes("cut"),
      wallMs,
    });
  };
  void running.exited.then(() => {
    wallMs = clock.monotonicMs() - startedMs;
    hasExited = true;
  });
  const watch = { clock, exited: running.exited };
  if (spools !== undefined) {
    const pumps = [pumpOutput(running.output, spools.output.target, watch)];
    if (running.errors !== undefined && spools.errors !== undefined) {
      pumps.push(pumpOutput(running.errors, spools.errors.target, watch));
    }
    void settle(pumps);
  }

  /** The outputs, at the pace of this channel. */
  const pumpTo = (channel: Channel): readonly Promise<PumpEnd>[] => {
    const [out, err] = [channel.writable("out"), channel.writable("err")];
    const never = { clock, exited: new Promise<never>(() => undefined) };
    const source = spools ?? undefined;
    const pumps = [
      source === undefined ? pumpOutput(running.output, out, watch) : pumpOutput(source.output.read(), out, never),
    ];
    const errors = source === undefined ? running.errors : source.errors?.read();
    if (errors === undefined) err.end();
    else pumps.push(pumpOutput(errors, err, source === undefined ? watch : never));
    return pumps;
  };

  const tell = async (channel: Channel) => {
    await Promise.all([gone(channel.writable("out")), gone(channel.writable("err"))]);
    const { status, killedBy: killer, outputOpenAfterExit } = await over.promise;
    const facts: ExitFacts = {
      how:
        status.signal === null
          ? { kind: "code", code: status.code ?? 0 }
          : { kind: "signal", signal: status.signal.slice(3) },
      // Node does not tell it.
      coreDumped: false,
      killedBy: killer,
      out: channel.digest("out"),
      err: channel.digest("err"),
      outputOpenAfterExit,
      wallMs,
    };
    channel.exit(facts);
  };

  return {
    pid: running.pid,
    serve: (channel) => {
      served?.reset(new AppError("conflict", "somebody else has attached to this command"));
      served = channel;
      channel.accept({ pid: running.pid, droppedBytes: spools === undefined ? 0 : droppedOf(spools) });
      pipeInput(channel.readable("in"), running, spools !== undefined);
      const pumps = pumpTo(channel);
      if (spools === undefined) void settle(pumps);
      void tell(channel);
      void channel.closed.then(({ error }) => {
        if (served === channel) served = undefined;
        if (error === undefined) told.resolve();
      });
    },
    signal: (signalName) => {
      if (!SIGNALS.has(signalName)) return false;
      lastSignal = signalName;
      signalGroup(running.pid, `SIG${signalName}` as NodeJS.Signals);
      return true;
    },
    resize: running.resize,
    end: (by) => {
      // What it has left running goes on; and where it has left nothing, its number may be another's by now.
      if (hasExited && ending === undefined) return Promise.resolve();
      killedBy ??= by;
      ending ??= endSession(running.pid, deps);
      return ending;
    },
    over: over.promise,
    told: told.promise,
    facts: () => ({
      pid: running.pid,
      hasExited,
      isInputOpen: running.input !== undefined && !running.input.writableEnded && !running.input.destroyed,
      inputBytes: running.input === undefined || running.input.destroyed ? 0 : running.input.writableLength,
    }),
    forget: () => {
      told.resolve();
      spools?.output.remove();
      spools?.errors?.remove();
    },
  };
}

interface Spools {
  readonly output: OutputSpool;
  readonly errors: OutputSpool | undefined;
}

function openSpools(running: RunningCommand, directory: string, name: string): Spools {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (running.errors === undefined) {
    return { output: createOutputSpool(join(directory, `${name}.out`), SPOOL_BYTES), errors: undefined };
  }
  return {
    output: createOutputSpool(join(directory, `${name}.out`), SPOOL_BYTES / 2),
    errors: createOutputSpool(join(directory, `${name}.err`), SPOOL_BYTES / 2),
  };
}

function droppedOf({ output, errors }: Spools): number {
  return output.droppedBytes + (errors?.droppedBytes ?? 0);
}

/** Everything that was written to it has gone, or it has failed. */
function gone(target: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (target.writableFinished || target.destroyed) return resolve();
    target.once("finish", resolve);
    target.once("close", resolve);
  });
}

/** To the command, until either end has had enough. `isKept`: a channel that fails leaves the input open for the next one. */
function pipeInput(source: Readable, { input, exited }: RunningCommand, isKept: boolean): void {
  if (input === undefined || input.destroyed || input.writableEnded) {
    source.destroy();
    return;
  }
  const write = createTurnBatch(input);
  const onData = (bytes: Buffer) => {
    if (input.destroyed || input.writableEnded) return;
    write(bytes);
    if (input.writableLength >= HOLD_ABOVE_BYTES) source.pause();
  };
  const onDrain = () => source.resume();
  const stop = () => {
    input.removeListener("drain", onDrain);
    input.removeListener("error", stop);
    input.on("error", () => undefined);
    source.removeListener("data", onData);
    source.destroy();
  };
  source.on("data", onData);
  source.once("end", () => input.end());
  source.once("close", () => {
    input.removeListener("drain", onDrain);
    if (!isKept && !input.writableEnded) input.end();
  });
  input.on("drain", onDrain);
  // EPIPE: it reads no more, and whoever sends hears that.
  input.once("error", stop);
  input.once("close", stop);
  void exited.then(stop);
}
