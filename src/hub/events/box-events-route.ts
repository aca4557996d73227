import type { ServerResponse } from "node:http";
import type { Clock } from "../../base/clock.ts";
import { boxPathSchema } from "../../contract/fleet/box-view.ts";
import { type Route, route } from "../http/route.ts";
import { type BoxConnection, newConnection } from "./box-connection.ts";
import type { BoxRoom } from "./box-room.ts";
import type { ConnectGate } from "./connect-gate.ts";
import { createEventSink } from "./event-sink.ts";

export interface BoxEventsRouteDeps {
  readonly room: BoxRoom;
  readonly clock: Clock;
  readonly gate: ConnectGate;
}

/** One event is at most 1 MiB; a set of many workloads and its changes may wait together. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
const MAX_CURSOR_LENGTH = 200;

export function createBoxEventsRoute(deps: BoxEventsRouteDeps): Route {
  const { clock, gate } = deps;
  let lastId = 0;
  return route({
    method: "GET",
    path: "/v1/boxes/{box}/events",
    access: "box-any-state",
    summary: "What the box should run and do, as server-sent events with replay after Last-Event-ID",
    params: boxPathSchema,
    stream: (call, { request, response }) => {
      const retryAfter = gate.knock(call.params.box);
      if (retryAfter !== undefined) {
        response.writeHead(503, { "retry-after": String(retryAfter), "content-type": "application/json" });
        response.end(
          JSON.stringify({ error: { code: "unavailable", message: "many boxes connect at this moment", retryAfter } }),
        );
        return Promise.resolve();
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
      // The connection is kept for days, what was asked with it is not.
      request.rawHeaders = [];
      request.headers = {};
      return hold(connection, { room: deps.room, response, signal: call.signal });
    },
  });
}

/** Resolves when the connection has ended. */
function hold(
  connection: BoxConnection,
  on: { readonly room: BoxRoom; readonly response: ServerResponse; readonly signal: AbortSignal },
): Promise<void> {
  const { room, response, signal } = on;
  return new Promise((resolve) => {
    response.once("close", () => {
      room.leave(connection);
      resolve();
    });
    response.on("error", () => response.destroy());
    signal.addEventListener("abort", () => room.dismiss(connection), { once: true });
    // The head and the first beat leave together.
    const { socket } = response;
    socket?.cork();
    connection.sink.open();
    room.enter(connection);
    socket?.uncork();
  });
}
