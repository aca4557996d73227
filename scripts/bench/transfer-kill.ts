import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../src/base/errors.ts";
import type { Lab } from "./lab.ts";
import type { Measurement, Row } from "./measurement.ts";
import { LOOPBACK } from "./remote/site-link.ts";
import { makeLargeFile } from "./transfer/data-sets.ts";
import { type KillTarget, rcloneTargets, rsyncTargets, sluiceTargets } from "./transfer/kill-targets.ts";

const MIB = 2 ** 20;
const DEFAULT_MIB = 512;
const MEGABYTES_PER_SECOND = 100;
const SHARES = [0.25, 0.5, 0.75] as const;
const LOOK_MS = 5;
/** What was under way when a process was killed has come by then. */
const SETTLE_MS = 50;
/** So much more, and bytes move again. */
const MOVING_BYTES = MIB;
/** Of a box's connections at a time, and what a crash may cost each. */
const STREAMS = 4;
const LOST_BYTES = 8 * MIB;

/**
 * One file is brought over loopback, at the same rate by each mover, and a part of it is killed at a quarter, at a half and at three
 * quarters. Bytes are those of the loopback device, with all that is said beside them: so nothing else may use it meanwhile, and `run`
 * begins this in a network of its own where it can.
 */
export const transferKill: Measurement = {
  name: "transfer-kill",
  limitMs: 60 * 60_000,
  isOnlyNamed: true,
  measure: async ({ lab, say, note, only, isLong, sizeMiB = DEFAULT_MIB }) => {
    await using stack = new AsyncDisposableStack();
    const base = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : lab.directory, "sluice-bench-"));
    stack.defer(() => rmSync(base, { recursive: true, force: true, maxRetries: 5 }));
    const roots = { from: join(base, "from"), to: join(base, "to") };
    for (const root of Object.values(roots)) mkdirSync(root);
    const trees = { source: join(roots.from, "tree"), destination: join(roots.to, "tree") };
    makeLargeFile(trees.source, sizeMiB * MIB);
    const wish = { sites: { near: LOOPBACK, box: LOOPBACK }, roots, base, megabytesPerSecond: MEGABYTES_PER_SECOND };

    const targets: KillTarget[] = [...(await sluiceTargets(wish, stack, lab))];
    for (const start of [rsyncTargets, rcloneTargets]) {
      try {
        targets.push(...(await start(wish, stack, lab)));
      } catch (thrown) {
        note(`a peer was left out: ${messageOf(thrown)}`);
      }
    }
    const wanted = targets.filter(({ mover, part }) => only === undefined || `${mover}: ${part}`.includes(only));
    const undisturbed = new Map<string, number>();
    const losses: Loss[] = [];
    for (const target of wanted) {
      const { mover, part } = target;
      const key = `${mover} ${part === "Redis" ? "Redis" : ""}`;
      if (!undisturbed.has(key)) undisturbed.set(key, (await bring(target, trees, undefined, lab)).bytes);
      for (const share of SHARES) {
        for (let round = 0; round < (isLong ? 3 : 1); round++) {
          say(`${mover}: ${part} killed at ${share * 100} %`);
          try {
            const { bytes, firstMs, isSame } = await bring(target, trees, share, lab);
            const againBytes = Math.max(0, bytes - (undisturbed.get(key) ?? 0));
            losses.push({ mover, part, againBytes, firstMs, isSame });
            say(
              `  ${(againBytes / 1e6).toFixed(1)} MB again, bytes move after ${firstMs.toFixed(0)} ms, ${isSame ? "tree identical" : "TREES DIFFER"}`,
            );
          } catch (thrown) {
            lab.throwIfOver();
            note(`${mover}: ${part} killed at ${share * 100} %: ${messageOf(thrown)}`);
          }
        }
      }
    }
    for (const mover of new Set(losses.map((loss) => loss.mover))) {
      const ended = losses.filter((loss) => loss.mover === mover);
      note(`${mover}: trees identical after ${ended.filter(({ isSame }) => isSame).length} of ${ended.length} kills`);
    }
    note(`${sizeMiB} MiB at ${MEGABYTES_PER_SECOND} MB/s`);
    note(`load average: ${readFileSync("/proc/loadavg", "utf8").trim()}`);
    return rowsOf(losses);
  },
};

interface Loss {
  readonly mover: string;
  readonly part: string;
  /** Beyond what the same mover needs undisturbed. */
  readonly againBytes: number;
  readonly firstMs: number;
  /** Nothing else lies at the destination either. */
  readonly isSame: boolean;
}

async function bring(
  target: KillTarget,
  { source, destination }: { readonly source: string; readonly destination: string },
  share: number | undefined,
  lab: Lab,
): Promise<Pick<Loss, "firstMs" | "isSame"> & { readonly bytes: number }> {
  rmSync(destination, { recursive: true, force: true, maxRetries: 5 });
  const whole = Number((await lab.run("du", ["-sb", source])).split("\t")[0]);
  const begun = loopbackBytes();
  let failure: unknown;
  let isOver = false;
  const moving = target
    .move(source, destination)
    .catch((thrown: unknown) => {
      failure = thrown;
    })
    .finally(() => {
      isOver = true;
    });
  const until = async (isSo: () => boolean) => {
    while (!isOver && !isSo()) await lab.delay(LOOK_MS);
  };
  let firstMs = Number.NaN;
  if (share !== undefined) {
    await until(() => loopbackBytes() - begun >= whole * share);
    const killedMs = performance.now();
    const struck = target.strike();
    await lab.delay(SETTLE_MS);
    const settled = loopbackBytes();
    await until(() => loopbackBytes() - settled >= MOVING_BYTES);
    firstMs = performance.now() - killedMs;
    await struck;
  }
  await moving;
  if (failure !== undefined) throw failure;
  const bytes = loopbackBytes() - begun;
  const isSame = await lab.run("diff", ["-r", "--no-dereference", source, destination]).then(
    () => true,
    () => false,
  );
  return { bytes, firstMs, isSame };
}

function loopbackBytes(): number {
  return Number(/\blo:\s*(\d+)/.exec(readFileSync("/proc/net/dev", "utf8"))?.[1] ?? 0);
}

function rowsOf(losses: readonly Loss[]): readonly Row[] {
  const of = (mover: string, part: string, read: (loss: Loss) => number) =>
    losses.filter((loss) => loss.mover === mover && loss.part === part).map(read);
  const rows: Row[] = [];
  for (const part of new Set(losses.filter(({ mover }) => mover === "Sluice").map((loss) => loss.part))) {
    const peers = (read: (loss: Loss) => number) =>
      ["rsync daemon", "rclone"].flatMap((name) => {
        const samples = of(name, part, read);
        return samples.length === 0 ? [] : [{ name, samples }];
      });
    const again = ({ againBytes }: Loss) => againBytes / 1e6;
    const first = ({ firstMs }: Loss) => firstMs;
    rows.push(
      {
        what: `${part} killed: sent again`,
        unit: "MB",
        samples: of("Sluice", part, again),
        bar: { of: "max", limit: (STREAMS * LOST_BYTES) / 1e6 },
        peers: peers(again),
      },
      {
        what: `${part} killed: until bytes move again`,
        unit: "ms",
        samples: of("Sluice", part, first),
        peers: peers(first),
      },
    );
  }
  return rows;
}
