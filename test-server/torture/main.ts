/** The front door is `scripts/torture`, whose --help says what this does. */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { systemClock } from "../../src/base/clock.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import { systemRandom } from "../../src/base/random.ts";
import { tortureHubs } from "../hub-torture/hub-torture.ts";
import { FEWEST_STREAMS } from "./draw-action.ts";
import { killAtEveryEffect } from "./effect-kills.ts";
import { restartManyTimes } from "./restarts.ts";
import { torture } from "./torture.ts";

const EXIT = { ok: 0, failed: 1, usage: 64, interrupted: 130 } as const;
const ANY_SEED = 1_000_000;

interface Outcome {
  readonly summary: object;
  /** One sentence each; empty when all held. */
  readonly failures: readonly string[];
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        minutes: { type: "string", default: "2" },
        seed: { type: "string", default: String(Math.floor(systemRandom() * ANY_SEED)) },
        streams: { type: "string", default: "6" },
        restarts: { type: "string" },
        effects: { type: "boolean", default: false },
        hubs: { type: "boolean", default: false },
        every: { type: "string", default: "1" },
        json: { type: "string" },
      },
    }).values;
  } catch (thrown) {
    throw new AppError("invalid", messageOf(thrown), { cause: thrown });
  }
}

async function run(values: ReturnType<typeof parse>, signal: AbortSignal): Promise<Outcome> {
  const deps = { clock: systemClock, say, signal };
  if (values.restarts !== undefined) {
    const summary = await restartManyTimes(numberOf("--restarts", values.restarts, 100), deps);
    return { summary, failures: summary.failures };
  }
  if (values.effects) {
    const summary = await killAtEveryEffect(numberOf("--every", values.every, 1), deps);
    return { summary, failures: summary.failures };
  }
  const seed = numberOf("--seed", values.seed, 0);
  const minutes = numberOf("--minutes", values.minutes, 0);
  if (values.hubs) {
    say(`seed ${seed}, ${minutes} minutes, two hubs`);
    const summary = await tortureHubs({ seed, minutes, isBuilt: true }, deps);
    const again = `to try again: scripts/torture --hubs --seed ${seed} --minutes ${minutes}`;
    const failures = summary.failure === undefined ? [] : [`"${summary.failure.invariant}" did not hold; ${again}`];
    return { summary, failures };
  }
  const streams = numberOf("--streams", values.streams, FEWEST_STREAMS);
  say(`seed ${seed}, ${minutes} minutes, ${streams} streams`);
  const summary = await torture({ seed, minutes, streams }, deps);
  const { failure } = summary;
  if (failure === undefined) return { summary, failures: [] };
  const again = `to replay: scripts/torture --seed ${seed} --streams ${streams} --minutes ${minutes}`;
  return { summary, failures: [`step ${failure.step}, "${failure.invariant}" did not hold; ${again}`] };
}

async function main(args: readonly string[]): Promise<number> {
  const values = parse(args);
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => stop.abort(new AppError("cancelled", `received ${name}`)));
  }
  try {
    const { summary, failures } = await run(values, stop.signal);
    const text = JSON.stringify(summary, null, 2);
    say(text);
    if (values.json !== undefined) writeFileSync(values.json, `${text}\n`);
    for (const failure of failures) say(`FAILED: ${failure}`);
    return failures.length === 0 ? EXIT.ok : EXIT.failed;
  } catch (thrown) {
    if (stop.signal.aborted) return EXIT.interrupted;
    throw thrown;
  }
}

function numberOf(flag: string, text: string, least: number): number {
  const number = Number(text);
  if (text.trim() === "" || !(number >= least)) {
    throw new AppError("invalid", `${flag}: "${text}" given, a number from ${least} on allowed`, { field: flag });
  }
  return number;
}

try {
  // The RTMP library keeps timers for publishers it saw: everything is closed by now, and nothing is waited for.
  process.exit(await main(process.argv.slice(2)));
} catch (thrown) {
  process.stderr.write(`torture: ${messageOf(thrown)}\n`);
  process.exit(thrown instanceof AppError && thrown.code === "invalid" ? EXIT.usage : EXIT.failed);
}
