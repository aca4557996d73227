import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { WORKER_COMMAND } from "../src/contract/transfer/worker-command.ts";
import { createTransferWorld } from "./transfer-world.ts";

const isLong = process.env["SLUICE_TEST_LONG"] === "1";
const FILES = 8;
const FILE_BYTES = 64 * 1024 * 1024;
/** Of `/proc/PID/stat`. */
const TICKS_PER_SECOND = 100;

/** Prints a figure, and holds it to nothing: what a router costs beside the direct way. */
it.skipIf(!isLong).each([
  ["which reach each other", { isReachable: true }],
  ["which meet in a router without TLS", { isReachable: false }],
  ["which meet in a router with TLS", { isReachable: false, hasTls: true }],
])(
  "the cost of a transfer of 512 MiB between boxes %s",
  {
    timeout: 300_000,
  },
  async (_, options) => {
    const { isReachable } = options;
    await using world = await createTransferWorld(options);
    const tree = join(world.from, "tree");
    mkdirSync(tree);
    const bytes = randomBytes(FILE_BYTES);
    for (let index = 0; index < FILES; index++) writeFileSync(join(tree, `f${index}`), bytes);
    const marks = [dirname(world.from), world.box("from").stateDir, world.box("to").stateDir];
    const before = secondsOf(marks);
    const begunMs = systemClock.monotonicMs();
    const id = await world.submit({ source_path: tree, destination_path: join(world.to, "copy") });
    const end = await world.until(async () => {
      const now = await world.progress(id);
      return now.state === "COMPLETED" || now.state === "FAILED" ? now : undefined;
    }, "its end");
    expect(end).toMatchObject({ state: "COMPLETED", ways: [isReachable ? "destination" : "router"] });
    const seconds = (systemClock.monotonicMs() - begunMs) / 1000;
    const after = secondsOf(marks);
    const gigabytes = (FILES * FILE_BYTES) / 1e9;
    const costs = Object.entries(after).map(
      ([kind, spent]) => `${kind} ${((spent - (before[kind] ?? 0)) / gigabytes).toFixed(2)}`,
    );
    process.stderr.write(
      `${end.ways.join()}: ${((gigabytes * 1000) / seconds).toFixed(0)} MB/s; processor s/GB: ${costs.join(", ")}; load ${readFileSync("/proc/loadavg", "utf8")}`,
    );
  },
);

/** Processor seconds of the hub, the agents and the workers so far. */
function secondsOf(marks: readonly string[]): Readonly<Record<string, number>> {
  const spent: Record<string, number> = {};
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      const told = `${words}${readFileSync(`/proc/${pid}/environ`, "utf8")}`;
      if (!marks.some((mark) => told.includes(mark))) continue;
      const [, rest = ""] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ");
      const fields = rest.split(" ");
      const kind = words.includes(WORKER_COMMAND) ? "workers" : words.includes("\0hub\0") ? "hub" : "agents";
      spent[kind] = (spent[kind] ?? 0) + (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
    } catch {
      // Gone meanwhile.
    }
  }
  return spent;
}
