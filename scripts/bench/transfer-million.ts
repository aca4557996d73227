import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../../src/base/errors.ts";
import { startRedis } from "../../test-server/redis-server.ts";
import { killQuietly } from "./lab.ts";
import type { Measurement, Row } from "./measurement.ts";
import { readProcessFigures } from "./process-figures.ts";
import { LOOPBACK } from "./remote/site-link.ts";
import { makeSmallFiles } from "./transfer/data-sets.ts";
import { startFleet } from "./transfer/sluice-mover.ts";

const DEFAULT_COUNT = 1_000_000;
const LOOK_MS = 500;
const SAY_MS = 10_000;
/** Of all that is to be listed: then the one that lists is killed. */
const KILLED_AT = 0.3;

const QUARTERS = [0.25, 0.5, 0.75] as const;
const PARTS = ["the hub", "Redis", "the worker that lists", "the worker that writes"] as const;
type Part = (typeof PARTS)[number];

/**
 * Very many files of one byte: planned as a stream, with what hub, store and workers hold while more and more of them are listed and copied, though
 * the worker that lists is killed on the way.
 */
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
    const redis = stack.use(await startRedis({ durable: true }));
    const storeUrl = `redis://${redis.host}:${redis.port}`;
    const fleet = stack.use(await startFleet({ name: "million", sites, isTrusted: true, roots, storeUrl }, lab));
    const seen = new Map<Part, { most: number; readonly at: Map<number, number> }>(
      PARTS.map((part) => [part, { most: 0, at: new Map() }]),
    );
    const look = (done: number) => {
      const pids = [fleet.hubPid(), redis.pid(), fleet.workerPid("from"), fleet.workerPid("to")];
      for (const [index, part] of PARTS.entries()) {
        const [pid, held] = [pids[index], seen.get(part)];
        if (pid === undefined || held === undefined) continue;
        try {
          const { rssMB } = readProcessFigures(pid);
          held.most = Math.max(held.most, rssMB);
          for (const quarter of QUARTERS) {
            if (done >= count * quarter && !held.at.has(quarter)) held.at.set(quarter, rssMB);
          }
        } catch {
          // It has just ended.
        }
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
      look(last.files_done);
      const pid = fleet.workerPid("from");
      if (!isKilled && !last.is_listed && last.files_total >= count * KILLED_AT && pid !== undefined) {
        isKilled = true;
        killQuietly(pid, "SIGKILL");
        const how = `${last.files_total} of ${count} files listed, ${last.files_done} copied`;
        note(`the worker that lists was killed after ${((performance.now() - begunMs) / 1000).toFixed(1)} s: ${how}`);
      }
      if (last.is_listed) listedMs ??= performance.now() - begunMs;
      if (performance.now() - saidMs > SAY_MS) {
        saidMs = performance.now();
        const held = PARTS.map((part) => `${part} ${seen.get(part)?.most.toFixed(0) ?? ""}`).join(", ");
        say(
          `${last.files_done} of ${last.files_total} after ${Math.round((saidMs - begunMs) / 1000)} s; most MB: ${held}`,
        );
      }
      await lab.delay(LOOK_MS);
    }
    const tookMs = performance.now() - begunMs;
    if (last.state !== "COMPLETED") throw new AppError("unavailable", `it ended as ${last.state}: ${last.reason}`);
    if (!isKilled) note("the listing was over before the worker could be killed");
    if (last.files_done !== count) note(`${last.files_done} files were counted, of ${count}`);
    await lab.run("diff", ["-r", "--no-dereference", join(roots.from, "tree"), join(roots.to, "tree")]);
    note(`both trees are the same: ${last.files_done} files`);
    note(`load average: ${readFileSync("/proc/loadavg", "utf8").trim()}`);
    const what = (text: string) => `${count} files of one byte: ${text}`;
    return [
      { what: what("all listed"), unit: "ms", samples: [listedMs ?? Number.NaN] },
      { what: what("complete"), unit: "ms", samples: [tookMs] },
      { what: what("files a second"), unit: "/s", samples: [(count * 1000) / tookMs] },
      ...PARTS.flatMap((part): Row[] => {
        const held = seen.get(part);
        if (held === undefined) return [];
        const at = (share: number) => held.at.get(share);
        return [
          ...QUARTERS.flatMap((quarter): Row[] => {
            const megabytes = at(quarter);
            const text = `memory of ${part}, ${quarter * 100} % copied`;
            return megabytes === undefined ? [] : [{ what: what(text), unit: "MB", samples: [megabytes] }];
          }),
          { what: what(`most memory of ${part}`), unit: "MB", samples: [held.most] },
        ];
      }),
    ];
  },
};
