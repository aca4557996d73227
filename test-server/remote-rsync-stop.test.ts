import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readProcText } from "../src/base/proc-text.ts";
import { createProcessTable } from "../src/base/process-table.ts";
import { MAIN_PROGRAM } from "./main-program.ts";
import { createRemoteWorld, type RemoteWorld, until } from "./remote-world.ts";

const LIMIT_MS = 120_000;
const hasRsync = (process.env["PATH"] ?? "").split(delimiter).some((directory) => existsSync(join(directory, "rsync")));
/** What rsync itself says of a signal that ended it. */
const RSYNC_ENDED_BY_SIGNAL = 20;

let world: RemoteWorld;
beforeAll(async () => {
  world = await createRemoteWorld();
}, LIMIT_MS);
afterAll(() => world?.[Symbol.asyncDispose]());

/** Of both ends: what is copied is in the arguments of each. */
function processesOf(directory: string): readonly string[] {
  return createProcessTable()
    .pids()
    .flatMap((pid) => {
      const line = readProcText(`/proc/${pid}/cmdline`)?.replaceAll("\0", " ") ?? "";
      return line.includes(directory) && !line.includes("remote-holder") ? [`${pid}: ${line}`] : [];
    });
}

/** `whole`: as a terminal sends it, to all of them. */
const ENDS = [
  { name: "SIGTERM", to: "the command alone", way: "up" },
  { name: "SIGTERM", to: "the command alone", way: "down" },
  { name: "SIGINT", to: "the command alone", way: "up" },
  { name: "SIGHUP", to: "the command alone", way: "up" },
  { name: "SIGINT", to: "all of its group", way: "up" },
  { name: "SIGINT", to: "all of its group", way: "down" },
] as const;

for (const [number, { name, to, way }] of ENDS.entries()) {
  test.skipIf(!hasRsync).concurrent(
    `${name} to ${to} ends an rsync ${way} in the middle, with rsync's own status, and leaves nothing at either end (needs rsync)`,
    async ({ expect: check }) => {
      const directory = join(world.directory, `copy-${number}`);
      const [from, into] = [join(directory, "from"), join(directory, "into")];
      for (const path of [from, into]) await mkdir(path, { recursive: true });
      await writeFile(join(from, "film"), randomBytes(30_000_000));
      const [source, target] =
        way === "up" ? [`${from}/`, `${world.boxId}:${into}/`] : [`${world.boxId}:${from}/`, `${into}/`];
      const child = spawn(
        process.execPath,
        ["--no-warnings", MAIN_PROGRAM, "rsync", "-a", "--bwlimit=1000", source, target],
        { env: world.environment(), stdio: ["ignore", "pipe", "pipe"], detached: true },
      );
      let said = "";
      for (const stream of [child.stdout, child.stderr]) {
        stream.on("data", (bytes: Buffer) => {
          said += bytes.toString();
        });
      }
      const ended = once(child, "close");
      await until(
        async () => {
          const [part] = await readdir(into);
          return part !== undefined && ((await stat(join(into, part)).catch(() => undefined))?.size ?? 0) > 100_000;
        },
        "a part has arrived",
        40_000,
      );
      check(processesOf(directory).length).toBeGreaterThan(3);

      process.kill(to === "all of its group" ? -(child.pid ?? 0) : (child.pid ?? 0), name);
      const [code, by] = await ended;
      check({ code, by, said }).toMatchObject({ code: RSYNC_ENDED_BY_SIGNAL, by: null });
      await until(() => processesOf(directory).length === 0, `nothing runs any more`, 20_000);
      check(await readdir(into)).toEqual([]);
    },
    LIMIT_MS,
  );
}

test.skipIf(!hasRsync)("whose sessions are all closed (needs rsync)", async () => {
  const open = async () => ((await world.hub().call("GET", "/v1/remote?state=open")) as { items: unknown }).items;
  await expect.poll(open).toEqual([]);
});
