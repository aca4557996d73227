import { z } from "zod";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Store } from "../store/store.ts";
import type { BoxConnection } from "./box-connection.ts";

/**
 * Which connection of a box is its newest, among all hubs: a connection whose other end is gone can stay open on one hub for
 * minutes while the box is connected to another, and must not be sent what is sent once only.
 */
export interface ConnectionMarks {
  mark(connection: BoxConnection): void;
  /** Resolves with `true` where nobody has marked another one. */
  isNewest(connection: BoxConnection): Promise<boolean>;
}

const KIND = "box-connection";
const markSchema = z.object({ hubId: z.string(), connection: z.string() });

export function createConnectionMarks(deps: {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly hubId: string;
}): ConnectionMarks {
  /** A question about a connection waits until its own mark is laid down. */
  const pending = new WeakMap<BoxConnection, Promise<unknown>>();
  const lay = async (connection: BoxConnection) => {
    const body = { hubId: deps.hubId, connection: connection.id };
    try {
      await deps.store.objects.put({ kind: KIND, id: connection.boxId, body }, { nowMs: deps.clock.wallMs() });
    } catch (thrown) {
      deps.log.warn(`The connection of box ${connection.boxId} could not be noted: ${messageOf(thrown)}`);
    }
  };
  return {
    mark: (connection) => void pending.set(connection, lay(connection)),
    isNewest: async (connection) => {
      await pending.get(connection);
      const object = await deps.store.objects.get(KIND, connection.boxId);
      const mark = markSchema.safeParse(object?.body);
      return !mark.success || (mark.data.hubId === deps.hubId && mark.data.connection === connection.id);
    },
  };
}
