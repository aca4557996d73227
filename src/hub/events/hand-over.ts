import type { SetNews } from "../store/set-news.ts";
import type { BoxConnection } from "./box-connection.ts";
import { WAITING_BYTES } from "./box-lap.ts";
import { standingOf } from "./box-standing.ts";
import { type OpenWorkload, stepEvent } from "./served-set.ts";

/**
 * Sends one step of the box's set as it was written, without a look into the store. Answers `false`, and has done nothing, unless
 * the connection stands exactly before that step and may have it: then its lap finds out what is due. Not while such a lap runs.
 */
export function handOver(connection: BoxConnection, { box, epoch, change }: SetNews, open: OpenWorkload): boolean {
  const { sink, cursor, keyHash, served, greeted, held } = connection;
  if (!served || !greeted || held !== undefined || keyHash === undefined) return false;
  if (cursor !== `${epoch}.${change.revision - 1}` || standingOf(box, keyHash).kind !== "serve") return false;
  if (!sink.isOpen() || sink.waitingBytes() > WAITING_BYTES) return false;
  sink.send(Buffer.from(stepEvent(epoch, change, open)));
  connection.cursor = `${epoch}.${change.revision}`;
  return true;
}
