import { AppError } from "../../../src/base/errors.ts";
import { readProcText } from "../../../src/base/proc-text.ts";
import { startRedis } from "../../../test-server/redis-server.ts";
import { killQuietly, type Lab } from "../lab.ts";
import type { MoveSites } from "./mover.ts";
import { startRclone } from "./rclone-mover.ts";
import { startRsyncDaemon } from "./rsync-movers.ts";
import { type Fleet, startFleet } from "./sluice-mover.ts";

/** A way to bring a tree, and one of its parts that is killed while it does. */
export interface KillTarget {
  readonly mover: string;
  /** `sender`, `receiver`, `hub`, `Redis`. */
  readonly part: string;
  /** Resolves when all is there, whatever is killed meanwhile. */
  move(source: string, destination: string): Promise<void>;
  /** Kills the part with SIGKILL, and starts it again at once where nobody else does. */
  strike(): Promise<void>;
}

export interface KillWish {
  readonly sites: MoveSites;
  readonly roots: { readonly from: string; readonly to: string };
  /** Where both are. */
  readonly base: string;
  /** Every mover is held to it, so that there is time to kill it in between. */
  readonly megabytesPerSecond: number;
}

/** A client that is killed, or whose server is, is begun again, as a script would; so often at most. */
const ATTEMPTS = 20;

export async function sluiceTargets(
  { sites, roots, megabytesPerSecond }: KillWish,
  stack: AsyncDisposableStack,
  lab: Lab,
): Promise<readonly KillTarget[]> {
  const move =
    (fleet: Fleet): KillTarget["move"] =>
    async (source, destination) => {
      const request = { source_path: source, destination_path: destination, source_box: "from" } as const;
      const id = await fleet.submit({ ...request, bandwidth_mbps: megabytesPerSecond * 8 });
      const { state, reason } = await fleet.untilOver(id);
      if (state !== "COMPLETED") throw new AppError("unavailable", `a transfer ended as ${state}: ${reason}`);
    };
  const worker = (fleet: Fleet, end: "from" | "to") => async () => {
    const pid = fleet.workerPid(end);
    if (pid === undefined) throw new AppError("not-found", `there is no worker of the box ${end}`);
    killQuietly(pid, "SIGKILL");
  };
  const plain = stack.use(await startFleet({ name: "kill", sites, isTrusted: true, roots }, lab));
  const redis = stack.use(await startRedis({ durable: true }));
  const storeUrl = `redis://${redis.host}:${redis.port}`;
  const onRedis = stack.use(await startFleet({ name: "kill-redis", sites, isTrusted: true, roots, storeUrl }, lab));
  const strikeRedis = async () => {
    await redis.kill();
    await redis.start();
  };
  return [
    { mover: "Sluice", part: "sender", move: move(plain), strike: worker(plain, "from") },
    { mover: "Sluice", part: "receiver", move: move(plain), strike: worker(plain, "to") },
    { mover: "Sluice", part: "hub", move: move(plain), strike: () => plain.killHub() },
    { mover: "Sluice", part: "Redis", move: move(onRedis), strike: strikeRedis },
  ];
}

/** With `--partial`, which is what keeps the half of a file. */
export async function rsyncTargets(
  { sites, megabytesPerSecond }: KillWish,
  stack: AsyncDisposableStack,
  lab: Lab,
): Promise<readonly KillTarget[]> {
  const flags = ["--partial", `--bwlimit=${megabytesPerSecond * 1000}`];
  const rsync = stack.use(await startRsyncDaemon({ name: "kill", sites, flags }, lab));
  const move = again(rsync.words, lab);
  const [daemon = -1] = rsync.pids();
  const sender = async () => {
    for (const pid of childrenOf(daemon, lab)) killQuietly(pid, "SIGKILL");
  };
  return [
    { mover: "rsync daemon", part: "sender", move, strike: sender },
    { mover: "rsync daemon", part: "receiver", move, strike: killClients("rsync\0-aH", lab) },
  ];
}

export async function rcloneTargets(
  { sites, base, megabytesPerSecond }: KillWish,
  stack: AsyncDisposableStack,
  lab: Lab,
): Promise<readonly KillTarget[]> {
  const flags = ["--bwlimit", `${megabytesPerSecond * 1000}k`];
  const rclone = stack.use(await startRclone({ sites, root: base, flags }, lab));
  const move = again(rclone.words, lab);
  return [
    { mover: "rclone", part: "sender", move, strike: () => rclone.restartServer() },
    { mover: "rclone", part: "receiver", move, strike: killClients("rclone\0copy", lab) },
  ];
}

function again(words: (source: string, destination: string) => readonly string[], lab: Lab): KillTarget["move"] {
  return async (source, destination) => {
    const [file = "", ...args] = words(source, destination);
    for (let attempt = 1; ; attempt++) {
      try {
        await lab.run(file, args);
        return;
      } catch (thrown) {
        lab.throwIfOver();
        if (attempt === ATTEMPTS) throw thrown;
      }
    }
  };
}

function killClients(begin: string, lab: Lab): () => Promise<void> {
  return async () => {
    const found = lab.pids().filter((pid) => readProcText(`/proc/${pid}/cmdline`)?.includes(begin));
    if (found.length === 0) throw new AppError("not-found", `no ${begin.replace("\0", " ")} runs`);
    for (const pid of found) killQuietly(pid, "SIGKILL");
  };
}

function childrenOf(parent: number, lab: Lab): readonly number[] {
  return lab.table.pids().filter((pid) => lab.table.stat(pid)?.parentPid === parent);
}
