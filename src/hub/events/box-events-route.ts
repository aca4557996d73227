import { z } from "zod";
import type { Clock } from "../../base/clock.ts";
import type { Random } from "../../base/random.ts";
import { boxIdSchema } from "../../contract/identifier.ts";
import { type Route, route } from "../http/route.ts";
import { newConnection } from "./box-connection.ts";
import type { BoxRoom } from "./box-room.ts";
import { type GateOptions, type GateState, knock, openGate } from "./connect-gate.ts";
import { createEventSink } from "./event-sink.ts";

export interface BoxEventsRouteDeps {
  readonly room: BoxRoom;
  readonly clock: Clock;
  readonly random: Random;
  readonly countTurnedAway: () => void;
}

/** One event is at most 1 MiB; a set of many workloads and its changes may wait together. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
const MAX_CURSOR_LENGTH = 200;

export function createBoxEventsRoute(options: GateOptions, deps: BoxEventsRouteDeps): Route {
  const { clock, random } = deps;
  let gate: GateState = openGate(options, clock.monotonicMs());
  let lastId = 0;
  return route({
    method: "GET",
    path: "/v1/boxes/{box}/events",
    access: "box-any-state",
    summary: "What the box should run and do, as server-sent events with replay after Last-Event-ID",
    params: z.object({ box: boxIdSchema }),
    stream: async (call, { response }) => {
      const answer = knock(gate, options, { nowMs: clock.monotonicMs(), random });
      gate = answer.state;
      if (!answer.admitted) {
        deps.countTurnedAway();
        const retryAfter = answer.retryAfterSeconds;
        response.writeHead(503, { "retry-after": String(retryAfter), "content-type": "application/json" });
        response.end(
          JSON.stringify({ error: { code: "unavailable", message: "many boxes connect at this moment", retryAfter } }),
        );
        return;
      }
      const sink = createEventSink(response, { maxWaitingBytes: MAX_WAITING_BYTES });
      const connection = newConnection({
        boxId: call.params.box,
        id: String(++lastId),
        address: call.address,
        sink,
        sinceMs: clock.monotonicMs(),
        keySlot: call.caller.kind === "box" ? call.caller.keySlot : "current",
        cursor:
          call.lastEventId === undefined || call.lastEventId.length > MAX_CURSOR_LENGTH ? undefined : call.lastEventId,
      });
      await new Promise<void>((resolve) => {
        response.once("close", () => {
          deps.room.leave(connection);
          resolve();
        });
        response.on("error", () => response.destroy());
        sink.open();
        deps.room.enter(connection);
      });
    },
  });
}
