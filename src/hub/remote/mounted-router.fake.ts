import type { Duplex } from "node:stream";
import type { EndReasonName } from "../../contract/remote/end-reason.ts";
import { readTicket, type TicketClaims } from "../../contract/remote/ticket.ts";
import type { CreateRouter } from "../hub.ts";
import type { MountedRouter, MountedSession } from "./mounted-router.ts";

/** A router on which tests say what happens: the real one needs two ends that speak gRPC. */
export interface FakeRouter extends MountedRouter {
  readonly terminated: { readonly id: string; readonly message: string }[];
  readonly served: Duplex[];
  /** What the real one would read in a ticket; throws as it would refuse it. */
  read(ticket: string, nowSeconds: number): TicketClaims;
  waiting(id: string): void;
  opened(id: string): void;
  move(id: string, bytes: { readonly toBox: number; readonly fromBox: number }): void;
  parted(id: string, reason: EndReasonName, message?: string): void;
}

export interface FakeRouterMaker {
  readonly create: CreateRouter;
  readonly made: () => FakeRouter;
}

const NEW_SESSION: Omit<MountedSession, "id"> = {
  ...{ ageMs: 1, bytesToBox: 0, bytesFromBox: 0, sides: ["operator", "box"] },
  ...{ boxStalledMs: 0, operatorStalledMs: 0, boxQuietMs: 0, operatorQuietMs: 0 },
};

export function fakeRouter(): FakeRouterMaker {
  let made: FakeRouter | undefined;
  return {
    create: ({ id }, { onEvent, ticketKeys }) => {
      const sessions = new Map<string, MountedSession>();
      const state = { isDraining: false };
      const sessionOf = (sessionId: string): MountedSession =>
        sessions.get(sessionId) ?? { ...NEW_SESSION, id: sessionId };
      const terminated: FakeRouter["terminated"] = [];
      const served: Duplex[] = [];
      made = {
        id,
        terminated,
        served,
        serve: (socket) => void served.push(socket),
        list: () => [...sessions.values()],
        terminate: (sessionId, message) => {
          terminated.push({ id: sessionId, message });
          const session = sessions.get(sessionId);
          if (session === undefined) return false;
          sessions.delete(sessionId);
          onEvent({ kind: "ended", session, end: { reason: "terminated", message } });
          return true;
        },
        drain: async () => {
          state.isDraining = true;
          for (const socket of served) socket.destroy();
        },
        get isDraining() {
          return state.isDraining;
        },
        metrics: () => "fake_router 1\n",
        read: (ticket, nowSeconds) => readTicket(ticket, { keyOf: ticketKeys.get, nowSeconds }),
        waiting: (sessionId) => {
          sessions.set(sessionId, sessionOf(sessionId));
          onEvent({ kind: "waiting", session: sessionOf(sessionId) });
        },
        opened: (sessionId) => {
          sessions.set(sessionId, sessionOf(sessionId));
          onEvent({ kind: "open", session: sessionOf(sessionId) });
        },
        move: (sessionId, { toBox, fromBox }) => {
          sessions.set(sessionId, { ...sessionOf(sessionId), bytesToBox: toBox, bytesFromBox: fromBox });
        },
        parted: (sessionId, reason, message = "") => {
          const session = sessionOf(sessionId);
          sessions.delete(sessionId);
          onEvent({ kind: "ended", session, end: { reason, message } });
        },
      };
      return made;
    },
    made: () => {
      if (made === undefined) throw new Error("the hub has made no router");
      return made;
    },
  };
}
