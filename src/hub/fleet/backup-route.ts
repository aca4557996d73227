import { once } from "node:events";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import { BACKUP_MEDIA_TYPE, BACKUP_SHA256_HEADER } from "../../contract/fleet/backup.ts";
import { type Route, route } from "../http/route.ts";
import type { HubContext } from "../hub-context.ts";
import { actorOf } from "./write-of.ts";

/** Who takes nothing for so long is gone. */
const STUCK_MS = 60_000;

/** The store as one file, for who may do everything: it holds every key of every stream. */
export function createBackupRoute({ store, clock }: Pick<HubContext, "store" | "clock">): Route {
  return route({
    method: "GET",
    path: "/v1/backup",
    access: "admin",
    summary: "The whole store as one SQLite file, as it was at one moment; sluice hub --restore puts it back",
    streamType: BACKUP_MEDIA_TYPE,
    stream: async ({ caller, address, signal }, { response }) => {
      if (store.openBackup === undefined) {
        throw new AppError(
          "unsupported",
          "this hub's store is no file of its own: back up Redis by its own means (its append-only directory, or BGSAVE); a store in memory has none",
        );
      }
      await using copy = await store.openBackup();
      const audit = {
        actor: actorOf(caller),
        action: "backup.make",
        subject: "store",
        outcome: "done",
        address,
      } as const;
      await store.audit.append(audit, clock.wallMs());
      response.writeHead(200, {
        "content-type": BACKUP_MEDIA_TYPE,
        "content-length": copy.bytes,
        [BACKUP_SHA256_HEADER]: copy.sha256,
        "cache-control": "no-store",
      });
      try {
        const chunks = whileTaken(copy.read(), { clock, onStuck: () => response.destroy() });
        await pipeline(Readable.from(chunks, { objectMode: false }), response, { signal });
      } catch {
        // It went away, or had to: the length that was promised tells its reader.
        response.destroy();
        if (!response.closed) await once(response, "close");
      }
    },
  });
}

async function* whileTaken(
  chunks: AsyncIterable<Uint8Array>,
  { clock, onStuck }: { readonly clock: Clock; readonly onStuck: () => void },
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    const limit = clock.timer(STUCK_MS, onStuck);
    try {
      yield chunk;
    } finally {
      limit.clear();
    }
  }
}
