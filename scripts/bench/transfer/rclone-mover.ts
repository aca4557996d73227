import { existsSync } from "node:fs";
import { AppError } from "../../../src/base/errors.ts";
import { freePort } from "../../../test-server/free-port.ts";
import type { Lab } from "../lab.ts";
import { wordsInside } from "../remote/site-link.ts";
import type { Mover, MoveSites } from "./mover.ts";
import { watchProgram } from "./watched.ts";

const RCLONE = "/usr/bin/rclone";
const STREAMS = "4";

export interface RcloneWish {
  readonly sites: MoveSites;
  readonly root: string;
  /** Of the client: `--bwlimit`. */
  readonly flags?: readonly string[];
}

export interface RcloneMover extends Mover {
  readonly words: (source: string, destination: string) => readonly string[];
  /** Kills the server and starts it anew. */
  restartServer(): Promise<void>;
}

/** `rclone serve webdav` beside the source, and a client that fetches by four streams. Rejects with `not-found` where it is not there. */
export async function startRclone({ sites, root, flags = [] }: RcloneWish, lab: Lab): Promise<RcloneMover> {
  if (!existsSync(RCLONE)) throw new AppError("not-found", `there is no ${RCLONE} here`);
  const where = `${sites.box.address}:${await freePort()}`;
  const serve = [RCLONE, "serve", "webdav", root, "--addr", where, "--read-only", "--vfs-cache-mode", "off"];
  const begin = [...wordsInside(sites.box), ...serve];
  // Directories are looked at anew: the trees here change from round to round.
  const fresh = ["--dir-cache-time", "1s", "--poll-interval", "0"];
  const start = async () => {
    const begun = watchProgram(lab.spawn(begin[0] ?? "", [...begin.slice(1), ...fresh], { stdio: "pipe" }));
    await begun.says(/listening|started/i, lab);
    return begun;
  };
  let server = await start();
  const words = (source: string, destination: string) => [
    ...wordsInside(sites.near),
    ...[RCLONE, "copy", "--webdav-url", `http://${where}`, `:webdav:${source.slice(root.length)}`, destination],
    ...["--transfers", STREAMS, "--multi-thread-streams", STREAMS, "--multi-thread-cutoff", "64M"],
    ...flags,
  ];
  return {
    name: "rclone",
    words,
    move: async (source, destination) => {
      const [file = "", ...args] = words(source, destination);
      await lab.run(file, args);
    },
    pids: () => [server.pid],
    restartServer: async () => {
      await server.kill();
      server = await start();
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
