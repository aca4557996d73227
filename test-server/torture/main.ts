import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { systemClock } from "../../src/base/clock.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import { FEWEST_STREAMS } from "./schedule.ts";
import { torture } from "./torture.ts";

const EXIT = { ok: 0, failed: 1, usage: 64, interrupted: 130 } as const;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: "string", default: "2" },
      seed: { type: "string" },
      streams: { type: "string", default: "6" },
      json: { type: "string" },
    },
  });
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => stop.abort(new AppError("cancelled", `received ${name}`)));
  }
  const seed = numberOf("--seed", values.seed ?? String(Math.floor(Math.random() * 1_000_000)), 0);
  const minutes = numberOf("--minutes", values.minutes, 0);
  const streams = numberOf("--streams", values.streams, FEWEST_STREAMS);
  const deps = { clock: systemClock, say, signal: stop.signal };
  try {
    say(`seed ${seed}, ${minutes} minutes, ${streams} streams`);
    const summary = await torture({ seed, minutes, streams }, deps);
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(summary, null, 2)}\n`);
    say(JSON.stringify(summary));
    if (summary.failure === undefined) return EXIT.ok;
    say(
      `FAILED at step ${summary.failure.step}; to replay: scripts/torture --seed ${seed} --streams ${streams} --minutes ${minutes}`,
    );
    return EXIT.failed;
  } catch (thrown) {
    if (!stop.signal.aborted) throw thrown;
    return EXIT.interrupted;
  }
}

function numberOf(flag: string, text: string, least: number): number {
  const number = Number(text);
  if (text.trim() === "" || !(number >= least)) {
    throw new AppError("invalid", `${flag}: "${text}" given, a number from ${least} on allowed`);
  }
  return number;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (thrown) {
  process.stderr.write(`torture: ${messageOf(thrown)}\n`);
  process.exitCode = thrown instanceof AppError && thrown.code === "invalid" ? EXIT.usage : EXIT.failed;
}
