import { AppError } from "../../base/errors.ts";
import type { BoxView } from "../../contract/fleet/box-view.ts";
import type { CommandContext } from "../command-context.ts";
import { formatDuration } from "../duration.ts";
import { collect, countOf, printJsonLine, viewOf } from "../output.ts";
import { renderTable } from "../render-table.ts";
import type { Sink } from "./console.ts";
import { type ExecFlags, planExec } from "./exec-flags.ts";
import { forwardSignals } from "./forward-signals.ts";
import { type ExecOutcome, outcomeOfFailure } from "./judge-exit.ts";
import { limitTime } from "./limit-time.ts";
import { createLinePrefixer } from "./line-prefix.ts";
import { openReach, type Reach, type ReachFlags } from "./reach-box.ts";
import { failure, failureOf } from "./remote-failure.ts";
import { type RunningExec, runExec } from "./run-exec.ts";
import { parseSealFlags } from "./seal-flags.ts";

export interface ManyWish {
  readonly argv: readonly string[];
  /** Labels; undefined: all boxes. */
  readonly selector: string | undefined;
  readonly parallel: number;
  readonly limitSeconds: number | undefined;
  readonly flags: ExecFlags & ReachFlags;
}

interface BoxResult extends ExecOutcome {
  readonly box: string;
  readonly seconds: number;
}

/** 0 when it ended with 0 on every box, else 1. */
export async function runOnMany(wish: ManyWish, context: CommandContext): Promise<number> {
  const { clock, io } = context;
  await using reach = await openReach(wish.flags, { joinsItself: false }, context);
  const console = await context.remote.openConsole();
  const { operation, what } = planExec({ ...wish.flags, stdin: false }, wish.argv, {
    env: context.env,
    terminal: undefined,
    isInputTerminal: true,
  });
  const stop = new AbortController();
  const running = new Set<RunningExec>();
  const all: Pick<RunningExec, "signal" | "leave"> = {
    signal: (name) => {
      // What has not begun yet never does.
      stop.abort(failure("unreachable", "cancelled", `SIG${name} came before it was begun`));
      for (const each of running) each.signal(name);
    },
    leave: (reason) => {
      for (const each of running) each.leave(reason);
    },
  };
  const release = forwardSignals({ console, clock }, { running: () => all, giveUp: () => undefined });
  try {
    const signal = AbortSignal.any([context.signal, stop.signal]);
    const boxes = await collect((await reach.hub()).boxes.list({ labels: wish.selector, state: "approved" }, signal));
    if (boxes.length === 0)
      throw new AppError("not-found", `no box ${selectorText(wish.selector)}; sluice box ls shows all`);
    const width = Math.max(...boxes.map(({ id }) => id.length));
    const runOne = async ({ id }: BoxView): Promise<BoxResult> => {
      const beganMs = clock.monotonicMs();
      const output = wish.flags.json === true ? jsonOutput(id, console.stdout) : prefixedOutput(id, width, console);
      const outcome = await runThere(id, { operation, what, wish, output, running }, { reach, context, signal });
      await output.flush();
      const result = { ...outcome, box: id, seconds: (clock.monotonicMs() - beganMs) / 1000 };
      if (wish.flags.json === true)
        printJsonLine(io, { box: id, exitCode: outcome.exitCode, seconds: result.seconds, ...outcome.status });
      return result;
    };
    const results = await inParallel(boxes, wish.parallel, runOne);
    if (wish.flags.json !== true) io.writeError(renderSummary(results, context));
    return results.every(({ exitCode }) => exitCode === 0) ? 0 : 1;
  } finally {
    release();
  }
}

interface Output {
  readonly stdout: Sink;
  readonly stderr: Sink;
  flush(): Promise<void>;
}

async function runThere(
  box: string,
  given: Pick<ReturnType<typeof planExec>, "operation" | "what"> & {
    readonly wish: ManyWish;
    readonly output: Output;
    readonly running: Set<RunningExec>;
  },
  { reach, context, signal }: { readonly reach: Reach; readonly context: CommandContext; readonly signal: AbortSignal },
): Promise<ExecOutcome> {
  const { operation, what, wish, output, running } = given;
  const { clock, io } = context;
  const limit = new AbortController();
  const timer =
    wish.limitSeconds === undefined
      ? undefined
      : clock.timer(wish.limitSeconds * 1000, () =>
          limit.abort(
            failure("unreachable", "timeout", `${box} did not come within ${formatDuration(wish.limitSeconds ?? 0)}`),
          ),
        );
  const both = AbortSignal.any([signal, limit.signal]);
  try {
    const tell = (line: string) => io.writeError(`sluice: ${box}: ${line}\n`);
    const sealed = parseSealFlags(wish.flags);
    const link = await reach.open(
      { box, create: { operation }, traffic: "bulk", ...sealed },
      { tell, hint: () => undefined },
      both,
    );
    timer?.clear();
    const one = runExec(
      what,
      { stdin: undefined, stdout: output.stdout, stderr: output.stderr, terminal: undefined },
      { link, clock },
    );
    running.add(one);
    const outcome = await limitTime(one, wish.limitSeconds, clock);
    running.delete(one);
    return outcome;
  } catch (thrown) {
    return outcomeOfFailure(failureOf(both.aborted ? both.reason : thrown));
  } finally {
    timer?.clear();
  }
}

function prefixedOutput(
  box: string,
  width: number,
  { stdout, stderr }: { readonly stdout: Sink; readonly stderr: Sink },
): Output {
  const lines = {
    stdout: createLinePrefixer(`${box.padEnd(width)} | `),
    stderr: createLinePrefixer(`${box.padEnd(width)} ! `),
  };
  return {
    stdout: { write: (bytes) => stdout.write(lines.stdout.push(bytes)) },
    stderr: { write: (bytes) => stderr.write(lines.stderr.push(bytes)) },
    flush: async () => {
      await stdout.write(lines.stdout.flush());
      await stderr.write(lines.stderr.flush());
    },
  };
}

/** A line of JSON for each line of output. */
function jsonOutput(box: string, stdout: Sink): Output {
  const make = (output: "stdout" | "stderr") => {
    const lines = createLinePrefixer("");
    const tell = (whole: Uint8Array) => {
      const text = Buffer.from(whole).toString("utf8");
      const each = text === "" ? [] : text.replace(/\n$/, "").split("\n");
      return stdout.write(Buffer.from(each.map((line) => `${JSON.stringify({ box, output, text: line })}\n`).join("")));
    };
    return { write: (bytes: Uint8Array) => tell(lines.push(bytes)), flush: () => tell(lines.flush()) };
  };
  const [out, err] = [make("stdout"), make("stderr")];
  return {
    stdout: out,
    stderr: err,
    flush: async () => {
      await out.flush();
      await err.flush();
    },
  };
}

async function inParallel<Item, Result>(
  items: readonly Item[],
  limit: number,
  run: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  let next = 0;
  const work = async () => {
    for (let index = next++; index < items.length; index = next++) {
      const item = items[index];
      if (item !== undefined) results[index] = await run(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, work));
  return results;
}

function renderSummary(results: readonly BoxResult[], context: CommandContext): string {
  const good = results.filter(({ exitCode }) => exitCode === 0).length;
  const table = renderTable(
    results,
    [
      { head: "BOX", text: ({ box }) => box, rank: 9, least: 10 },
      {
        head: "EXIT",
        text: ({ exitCode }) => exitCode,
        tone: ({ exitCode }) => (exitCode === 0 ? "good" : "bad"),
        align: "right",
        rank: 9,
      },
      { head: "TOOK", text: ({ seconds }) => `${seconds.toFixed(1)} s`, align: "right", rank: 5 },
      { head: "REASON", text: ({ message }) => message, rank: 7, least: 16 },
    ],
    viewOf(context),
  );
  return `\n${table}${good} of ${countOf(results.length, "box", "boxes")} ended with 0\n`;
}

function selectorText(selector: string | undefined): string {
  return selector === undefined ? "is approved" : `has ${selector}`;
}
