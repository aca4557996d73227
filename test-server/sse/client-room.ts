import type { ServerResponse } from "node:http";
import type { Clock } from "../../src/base/clock.ts";
import { encodeBeat } from "../../src/hub/events/frame.ts";
import type { WritePlan } from "../faults/active-faults.ts";
import { createOutbox, type Outbox } from "./outbox.ts";
import type { EventForm } from "./set-events.ts";

/** One SSE connection, as `GET /clients` and the page show it. */
export interface ClientView {
  readonly id: number;
  readonly address: string;
  /** ISO 8601. */
  readonly since: string;
  readonly box: string | undefined;
  readonly form: EventForm;
  readonly lastEventId: string | undefined;
  readonly userAgent: string | undefined;
  readonly hasAuthorization: boolean;
  readonly bytes: number;
  readonly events: number;
  /** Open, and never written to again. */
  readonly silent: boolean;
}

export type Visitor = Pick<ClientView, "address" | "box" | "form" | "lastEventId" | "userAgent" | "hasAuthorization">;

interface Client {
  readonly id: number;
  readonly since: string;
  readonly visitor: Visitor;
  readonly outbox: Outbox;
  events: number;
}

export interface ClientRoom {
  /** Takes a response whose headers are sent. `first`: what it hears first. */
  enter(response: ServerResponse, visitor: Visitor, first: readonly string[]): void;
  /** Sends to everybody that is not silent and gives how many that are. */
  broadcast(bytesOf: (form: EventForm) => readonly Buffer[]): number;
  count(): number;
  views(): readonly ClientView[];
  muteAll(): void;
  closeAll(how: "cut" | "reset" | "end"): number;
  onChange(listener: (text: string) => void): void;
  close(): void;
}

export interface ClientRoomDeps {
  readonly clock: Clock;
  readonly writePlan: () => WritePlan;
  readonly countEvent: () => void;
  readonly beats: () => boolean;
  /** A new connection is deaf from the start. */
  readonly entersSilent: () => boolean;
}

export function createClientRoom(options: { readonly beatMs: number }, deps: ClientRoomDeps): ClientRoom {
  const clients = new Map<number, Client>();
  const listeners = new Set<(text: string) => void>();
  const beat = encodeBeat(options.beatMs);
  const life = new AbortController();
  let lastId = 0;

  const tell = (text: string) => {
    for (const listener of listeners) listener(text);
  };
  const name = ({ id, visitor }: Client) => `client ${id} (${visitor.box ?? visitor.address})`;
  const beatLoop = async () => {
    while (!life.signal.aborted) {
      await deps.clock.delay(options.beatMs, life.signal);
      if (deps.beats()) for (const { outbox } of clients.values()) outbox.sendBeat(beat);
    }
  };
  // Ends with the signal's rejection and has no other way to fail.
  beatLoop().catch(() => undefined);

  return {
    enter: (response, visitor, first) => {
      const gone = new AbortController();
      const outbox = createOutbox(response, { clock: deps.clock, signal: gone.signal });
      const client: Client = {
        id: ++lastId,
        since: new Date(deps.clock.wallMs()).toISOString(),
        visitor,
        outbox,
        events: 0,
      };
      clients.set(client.id, client);
      response.once("close", () => {
        gone.abort();
        clients.delete(client.id);
        tell(`${name(client)} left after ${client.events} events and ${outbox.bytesWritten()} bytes`);
      });
      response.once("error", () => response.destroy());
      if (deps.entersSilent()) outbox.mute();
      if (deps.beats()) outbox.sendBeat(beat);
      for (const text of first) {
        outbox.send(Buffer.from(text), deps.writePlan());
        client.events++;
      }
      if (first.length > 0) deps.countEvent();
      const cursor = visitor.lastEventId === undefined ? "without a cursor" : `after ${visitor.lastEventId}`;
      tell(`${name(client)} connected ${cursor}`);
    },
    broadcast: (bytesOf) => {
      const plan = deps.writePlan();
      let reached = 0;
      for (const client of clients.values()) {
        if (client.outbox.isMuted()) continue;
        reached++;
        for (const bytes of bytesOf(client.visitor.form)) {
          client.outbox.send(bytes, plan);
          client.events++;
        }
      }
      if (reached > 0) deps.countEvent();
      return reached;
    },
    count: () => clients.size,
    views: () =>
      [...clients.values()].map(({ id, since, visitor, outbox, events }) => ({
        id,
        since,
        ...visitor,
        bytes: outbox.bytesWritten(),
        events,
        silent: outbox.isMuted(),
      })),
    muteAll: () => {
      for (const { outbox } of clients.values()) outbox.mute();
    },
    closeAll: (how) => {
      const count = clients.size;
      for (const { outbox } of clients.values()) outbox.close(how);
      return count;
    },
    onChange: (listener) => void listeners.add(listener),
    close: () => {
      life.abort();
      for (const { outbox } of clients.values()) outbox.close("cut");
    },
  };
}
