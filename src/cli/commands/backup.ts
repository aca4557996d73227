import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { Command } from "commander";
import { AppError, messageOf } from "../../base/errors.ts";
import { receiveFile } from "../../base/receive-file.ts";
import { BACKUP_SHA256_HEADER } from "../../contract/fleet/backup.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { formatBytes } from "../duration.ts";
import { addHubFlags, type HubFlags, openHub } from "../hub-session.ts";
import { printJson } from "../output.ts";
import { createProgress } from "../progress.ts";

interface BackupFlags extends HubFlags {
  readonly force?: boolean;
}

export function backupCommand(context: CommandContext, finish: Finish): Command {
  return addHubFlags(new Command("backup"))
    .description("fetch the hub's whole store into a file here, while the hub goes on")
    .argument("<file>", "where to put it; made for its owner only")
    .option("--force", "take the place of a file that is there")
    .addHelpText(
      "after",
      `
It needs a token of an admin. The file holds every stream key: keep it as you keep the hub. It is checked, whole, before it gets
its name. Beside it keep what lies in the hub's data directory and not in the store: its authority (tls/) and secrets.key.
To put it back: stop the hub, sluice hub --restore FILE (with the hub's own options), start the hub (docs/hub-store.md).
A hub on Redis has no file of its own: back up Redis.

Example:
  sluice backup hub-$(date +%F).db`,
    )
    .action(async (file: string, flags: BackupFlags) => finish(await runBackup(file, flags, context)));
}

export async function runBackup(file: string, flags: BackupFlags, context: CommandContext): Promise<number> {
  const { io, signal, facts } = context;
  const path = resolve(facts.cwd, file);
  if (flags.force !== true && existsSync(path)) {
    throw new AppError("invalid", `FILE: given ${file}, which is there; allowed: a new name, or --force`, {
      field: "FILE",
    });
  }
  const hub = await openHub(flags, context);
  const progress = createProgress(io);
  try {
    progress.say("The hub copies its store …");
    const { bytes: promised, header, chunks } = await hub.backup(signal);
    const sha256 = header(BACKUP_SHA256_HEADER);
    let boxes = 0;
    const received = await receiveFile(path, chunks, {
      onBytes: (bytes) =>
        progress.say(`${formatBytes(bytes)}${promised === undefined ? "" : ` of ${formatBytes(promised)}`}`),
      accept: async (got, part) => {
        if (got.bytes !== promised || got.sha256 !== sha256) {
          throw new AppError(
            "unavailable",
            `the backup did not arrive whole: ${got.bytes} bytes of ${promised ?? "an unknown number"}, SHA-256 ${got.sha256} instead of ${sha256 ?? "an unknown one"}; ask again`,
          );
        }
        ({ boxes } = await context.inspectBackup(part));
      },
    });
    progress.end();
    if (flags.json === true) printJson(io, { file: path, boxes, ...received });
    else
      io.write(
        `${path}: ${formatBytes(received.bytes)}, boxes: ${boxes}, whole and checked (SHA-256 ${received.sha256})\n`,
      );
    return 0;
  } catch (thrown) {
    if (thrown instanceof AppError || signal.aborted) throw thrown;
    throw new AppError("storage", `${file} could not be written: ${messageOf(thrown)}`, { cause: thrown });
  } finally {
    progress.end();
  }
}
