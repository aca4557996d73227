import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../../test-server/free-port.ts";
import type { Lab } from "../lab.ts";
import { startSshSite } from "../peers/ssh.ts";
import { wordsInside } from "../remote/site-link.ts";
import type { Mover, MoveSites } from "./mover.ts";
import { watchProgram } from "./watched.ts";

export interface RsyncWish {
  readonly name: string;
  readonly sites: MoveSites;
  /** Of the client: `--sparse`. */
  readonly flags?: readonly string[];
}

/** A daemon beside the source, and a client that fetches: one stream, as rsync is. */
export async function startRsyncDaemon(
  { name, sites, flags = [] }: RsyncWish,
  lab: Lab,
): Promise<Mover & { readonly words: (source: string, destination: string) => readonly string[] }> {
  const port = await freePort();
  const config = join(lab.directory, `${name}-rsyncd.conf`);
  const isRoot = process.getuid?.() === 0;
  const lines = [
    ...["use chroot = no", "read only = yes", `address = ${sites.box.address}`, `port = ${port}`],
    ...(isRoot ? ["uid = root", "gid = root"] : []),
    ...["[all]", "path = /"],
  ];
  writeFileSync(config, `${lines.join("\n")}\n`);
  const begin = [...wordsInside(sites.box), "rsync", "--daemon", "--no-detach", `--config=${config}`];
  const daemon = watchProgram(lab.spawn(begin[0] ?? "", begin.slice(1), { stdio: "pipe" }));
  await lab.delay(300);
  const words = (source: string, destination: string) => [
    ...wordsInside(sites.near),
    ...["rsync", "-aH", ...flags],
    ...[`rsync://${sites.box.address}:${port}/all${source}/`, `${destination}/`],
  ];
  return {
    name: "rsync daemon",
    words,
    move: async (source, destination) => run(words(source, destination), lab),
    pids: () => [daemon.pid],
    [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose](),
  };
}

/** Rejects with `not-found` where there is no sshd. */
export async function startRsyncSsh({ name, sites, flags = [] }: RsyncWish, lab: Lab): Promise<Mover> {
  const ssh = await startSshSite(name, sites, lab);
  const inside = wordsInside(sites.near);
  const shell = ssh.words().slice(inside.length).join(" ");
  return {
    name: "rsync over ssh",
    move: async (source, destination) =>
      run([...inside, "rsync", "-aH", ...flags, "-e", shell, `box:${source}/`, `${destination}/`], lab),
    pids: () => ssh.serverPids,
    [Symbol.asyncDispose]: () => ssh[Symbol.asyncDispose](),
  };
}

async function run([file = "", ...args]: readonly string[], lab: Lab): Promise<void> {
  await lab.run(file, args);
}
