import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../../src/base/errors.ts";
import { killQuietly } from "./lab.ts";
import type { Measurement } from "./measurement.ts";
import { readProcessFigures } from "./process-figures.ts";
import { LOOPBACK } from "./remote/site-link.ts";
import { makeSmallFiles } from "./transfer/data-sets.ts";
import { startFleet } from "./transfer/sluice-mover.ts";

const DEFAULT_COUNT = 1_000_000;
const LOOK_MS = 500;
/** Of all that is to be listed: then the one that lists is killed. */
const KILLED_AT = 0.3;

/** Very many files of one byte: planned as a stream, with what hub and workers hold, though the worker that lists is killed on the way. */
export const transferMillion: Measurement = {
  name: "transfer-million",
  limitMs: 4 * 3_600_000,
  isOnlyNamed: true,
  measure: async ({ lab, say, note, count = DEFAULT_COUNT }) => {
    await using stack = new AsyncDisposableStack();
    const base = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : lab.directory, "sluice-bench-"));
    stack.defer(() => rmSync(base, { recursive: true, force: true, maxRetries: 5 }));
    const roots = { from: join(base, "from"), to: join(base, "to") };
    for (const root of Object.values(roots)) mkdirSync(root);
    say(`making ${count} files`);
    makeSmallFiles(join(roots.from, "tree"), count, 1);
    const sites = { near: LOOPBACK, box: LOOPBACK };
    const fleet = stack.use(await startFleet({ name: "million", sites, isTrusted: true, roots }, lab));
    const most = { hub: 0, from: 0, to: 0 };
    const look = (name: keyof typeof most, pid: number | undefined) => {
      if (pid === undefined) return;
      try {
        most[name] = Math.max(most[name], readProcessFigures(pid).rssMB);
      } catch {
        // It has just ended.
      }
    };
    const begunMs = performance.now();
    const id = await fleet.submit({
      source_path: join(roots.from, "tree"),
      destination_path: join(roots.to, "tree"),
      source_box: "from",
    });
    let isKilled = false;
    let listedMs: number | undefined;
    let saidMs = 0;
    let last = await fleet.progress(id);
    for (; last.state === "QUEUED" || last.state === "PROGRESS"; last = await fleet.progress(id).catch(() => last)) {
      look("hub", fleet.hubPid());
      look("from", fleet.workerPid("from"));
      look("to", fleet.workerPid("to"));
      const pid = fleet.workerPid("from");
      if (!isKilled && !last.is_listed && last.files_total >= count * KILLED_AT && pid !== undefined) {
        isKilled = true;
        killQuietly(pid, "SIGKILL");
        note(
          `the worker that lists was killed at ${last.files_total} of ${count} files listed, ${last.files_done} copied`,
        );
      }
      if (last.is_listed) listedMs ??= performance.now() - begunMs;
      if (performance.now() - saidMs > 10_000) {
        saidMs = performance.now();
        say(
          `${last.files_done} of ${last.files_total}; RSS hub ${most.hub.toFixed(0)}, workers ${most.from.toFixed(0)} and ${most.to.toFixed(0)} MB`,
        );
      }
      await lab.delay(LOOK_MS);
    }
    const tookMs = performance.now() - begunMs;
    if (last.state !== "COMPLETED") throw new AppError("unavailable", `it ended as ${last.state}: ${last.reason}`);
    if (!isKilled) note("the listing was over before the worker could be killed");
    await lab.run("diff", ["-r", "--no-dereference", join(roots.from, "tree"), join(roots.to, "tree")]);
    note(`both trees are the same: ${last.files_done} files`);
    note(`load average: ${readFileSync("/proc/loadavg", "utf8").trim()}`);
    const what = (text: string) => `${count} files of one byte: ${text}`;
    return [
      { what: what("all listed"), unit: "ms", samples: [listedMs ?? Number.NaN] },
      { what: what("complete"), unit: "ms", samples: [tookMs] },
      { what: what("files a second"), unit: "/s", samples: [(count * 1000) / tookMs] },
      { what: what("most memory of the hub"), unit: "MB", samples: [most.hub] },
      { what: what("most memory of the worker that lists"), unit: "MB", samples: [most.from] },
      { what: what("most memory of the worker that writes"), unit: "MB", samples: [most.to] },
    ];
  },
};
