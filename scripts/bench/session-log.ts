import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { AppError } from "../../src/base/errors.ts";
import { createSessionBox } from "../../test-server/session-box.ts";
import type { Measurement } from "./measurement.ts";

const MEGABYTES_A_SECOND = 10;
const LINE_BYTES = 100;
const LIMIT_MS = 300_000;

/** Numbered lines of 100 bytes at 10 MB/s, once the file is there. */
const FLOOD = `
use Time::HiRes qw(time sleep);
$| = 1;
my ($go, $lines) = @ARGV;
print "ready\\n";
sleep 0.05 while !-e $go;
my ($begun, $number) = (time, 0);
while ($number < $lines) {
  my $due = int((time - $begun) * ${(MEGABYTES_A_SECOND * 1e6) / LINE_BYTES});
  $due = $lines if $due > $lines;
  print join "", map { sprintf("%09d %s\\n", $_, "x" x ${LINE_BYTES - 11}) } $number + 1 .. $due;
  $number = $due;
  sleep 0.005;
}
print "the end\\n";
sleep 1 while 1;
`;

/** A session's flood as its reader at the hub gets it: what came, and what gaps say is missing, beside what was written. */
export const sessionLog: Measurement = {
  name: "session-log",
  limitMs: 600_000,
  measure: async ({ isLong, note, say, signal }) => {
    const megabytes = isLong ? 200 : 40;
    await using box = await createSessionBox("/usr/bin/perl");
    const { client } = box;
    const { world } = box.life;
    const { boxId } = world;
    const go = join(world.stateDir, "go");
    const lines = (megabytes * 1e6) / LINE_BYTES;
    const command = ["/usr/bin/perl", "-e", FLOOD, go, String(lines)];
    const spec = { id: "flood", user: "anna", platform: "process", template: { command } };
    await box.command("StartSession", { spec, generation: 1 });
    await box.untilState("flood", "running");

    const seen = { lines: 0, bytes: 0, gaps: 0, gapBytes: 0, uncounted: 0, wrong: 0 };
    let startMs = Number.NaN;
    let last = 0;
    const wish = { workload: "flood", tail: 1000, since: undefined, follow: true, output: undefined };
    const over = AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]);
    for await (const record of client.logs(boxId, wish, over)) {
      if (record.type === "end") throw new AppError("unavailable", `the log ended: ${record.reason}`);
      if (record.type === "gap") {
        seen.gaps++;
        seen.gapBytes += record.bytes ?? 0;
        seen.uncounted += record.bytes === undefined ? 1 : 0;
        continue;
      }
      if (record.text === "ready") {
        startMs = systemClock.monotonicMs();
        await writeFile(go, "");
        continue;
      }
      if (record.text === "the end") break;
      const number = Number(record.text.slice(0, 9));
      if (number <= last || record.text.length !== LINE_BYTES - 1) seen.wrong++;
      last = number;
      seen.lines++;
      seen.bytes += record.text.length + 1;
      if (seen.lines % 50_000 === 0) say(`line ${number} of ${lines}`);
    }
    const seconds = (systemClock.monotonicMs() - startMs) / 1000;
    const missing = lines * LINE_BYTES - seen.bytes - seen.gapBytes;
    note(
      `session-log: of ${lines * LINE_BYTES} bytes ${seen.bytes} came, ${seen.wrong} lines twice or out of order; ${seen.gaps} gaps name ` +
        `${seen.gapBytes} (${seen.uncounted} without an amount); unaccounted for: ${missing}; the end came after ${seconds.toFixed(1)} s`,
    );
    return [
      {
        what: `${megabytes} MB of a log at 10 MB/s through the hub: what came`,
        unit: "MB",
        samples: [seen.bytes / 1e6],
      },
      { what: "the same: what gaps name as missing", unit: "MB", samples: [seen.gapBytes / 1e6] },
      {
        what: "the same: bytes that are neither",
        unit: "",
        samples: [Math.abs(missing)],
        bar: { of: "max", limit: 0 },
      },
    ];
  },
};
