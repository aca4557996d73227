import type { Duplex } from "node:stream";
import type { Timer } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import { GRPC_STATUS_NAMES } from "../base/grpc/grpc-status.ts";
import { ERROR_POLICY, toAppError } from "../contract/error-code.ts";
import { Health } from "../contract/proto/grpc/health/v1/health_pb.js";
import { ServerReflection } from "../contract/proto/grpc/reflection/v1/reflection_pb.js";
import { SessionService } from "../contract/proto/sluice/router/v1/control_pb.js";
import { RouterService } from "../contract/proto/sluice/router/v1/router_pb.js";
import { openClientConnection } from "./client-connection.ts";
import { type GrpcCall, readMessages } from "./grpc-call.ts";
import { createHealthService } from "./health-service.ts";
import { type JoinCall, startJoinCall } from "./join-call.ts";
import { createLaneDesk, type LaneSide } from "./lane-desk.ts";
import { createPairing } from "./pairing.ts";
import { HANDED_ON_HEADER, type HandedOn, handOn } from "./peer-call.ts";
import { answerReflection } from "./reflection-service.ts";
import type { Router, RouterDeps, RouterOptions } from "./router.ts";
import type { RouterConnection } from "./router-connection.ts";
import { createRouterCounters } from "./router-counters.ts";
import type { SessionEnd } from "./session-end.ts";
import { createSessionService } from "./session-service.ts";
import { createTicketGate, MisroutedTicket } from "./ticket-gate.ts";
import { createWindowGrants } from "./window-grants.ts";

export const ROUTER_DEFAULTS: Pick<RouterOptions, "rendezvousMs" | "windowBudgetBytes"> = {
  rendezvousMs: 60_000,
  windowBudgetBytes: 512 * 1024 * 1024,
};

const LAP_MS = 1000;
const JOIN_WITHIN_MS = 10_000;
const STALLED_AFTER_MS = 30_000;
/** What is held for a reader this slow must not grow. */
const SHRINK_AFTER_MS = 1000;
/** Whoever is paired says something in less. */
const QUIET_MS = 40_000;
const CONNECTIONS_PER_SESSION = 4;
const SIDES = 2;
const SPARE_CONNECTIONS = 64;
const MAX_SMALL_MESSAGE_BYTES = 64 * 1024;
const DRAINING: SessionEnd = {
  reason: "draining",
  message: "the router is about to end: join again, at another one",
};

type Unary = (call: GrpcCall, request: Uint8Array) => void | Promise<void>;

interface Joining {
  readonly side: JoinCall;
  readonly connection: RouterConnection;
  readonly beganAtMs: number;
  isCountedStalled: boolean;
}

export function createRouter(options: RouterOptions, deps: RouterDeps): Router {
  const { clock, log } = deps;
  const counters = createRouterCounters();
  const windows = createWindowGrants(options.windowBudgetBytes);
  const tickets = createTicketGate({ routerId: options.id }, { keys: deps.ticketKeys, clock });
  const connections = new Set<RouterConnection>();
  const joins = new Set<Joining>();
  let lapTimer: Timer | undefined;
  let draining: { done: Promise<void>; settle: () => void; cutAtMs: number; isDone: boolean } | undefined;
  /** Who is told next that the router drains, and when. */
  let leaving: { readonly leave: () => void; readonly atMs: number }[] = [];
  const handedOn = new Set<HandedOn>();

  const lanes = createLaneDesk({ clock });
  /** For calls that came straight here: who was led by another router would be led there again. */
  const promiseLane = (sides: Record<LaneSide, JoinCall>) => {
    const isHandedOn = ({ call }: JoinCall) => call.headers[HANDED_ON_HEADER] !== undefined;
    const all = [sides.operator, sides.box];
    if (!options.hasLanes || all.some((side) => !side.canTakeLane || isHandedOn(side))) return undefined;
    const lane = lanes.promise((from, bytes) => {
      counters.relayedOnLane(from === "operator" ? "to_box" : "from_box", bytes);
      sides[from].sentOnLane(bytes);
    });
    for (const side of ["operator", "box"] as const) sides[side].lane = { lane, side };
    return lane.tokens;
  };

  const pairing = createPairing<JoinCall>(options, {
    clock,
    counters,
    promiseLane,
    onEvent: (event) => {
      if (event.kind === "ended") {
        log.debug(`Session ${event.session.id} left this router (${event.end.reason}): ${event.end.message}`);
      }
      deps.onEvent?.(event);
    },
  });
  const health = createHealthService(() => pairing.isDraining);
  const terminate = (sessionId: string, message: string) => pairing.end(sessionId, { reason: "terminated", message });
  const sessions = createSessionService({
    routerId: options.id,
    tickets,
    list: pairing.list,
    get: pairing.get,
    terminate,
    isDraining: () => pairing.isDraining,
  });

  const refused = (error: AppError) =>
    counters.refused(GRPC_STATUS_NAMES[ERROR_POLICY[toAppError(error).code].grpc] ?? "UNKNOWN");

  /** To the router that the ticket is for, where a balancer led to this one. One step and no more. */
  const handOver = async (call: GrpcCall, refusal: MisroutedTicket, message: Uint8Array): Promise<HandedOn> => {
    const { peers } = deps;
    if (peers === undefined) throw refusal;
    const { routerId } = refusal;
    if (call.headers[HANDED_ON_HEADER] !== undefined) {
      throw new AppError("unavailable", `${refusal.message}, and where it was handed on to: join again`);
    }
    if (pairing.isDraining) throw new AppError("unavailable", DRAINING.message);
    if (handedOn.size >= options.limits.sessions * SIDES) {
      throw new AppError("exhausted", `${handedOn.size} calls are handed on by this router, as many as may be`);
    }
    if (peers.get(routerId) === undefined) await peers.refresh();
    const peer = peers.get(routerId);
    if (peer === undefined) {
      throw new AppError(
        "unavailable",
        `the ticket is for the router ${routerId}, of which ${options.id} has not heard`,
      );
    }
    const what = { call, path: pathOf(RouterService, "Join"), message };
    const handed: HandedOn = await handOn(what, peer, {
      clock,
      windows,
      routerId: options.id,
      onOver: () => handedOn.delete(handed),
    });
    handedOn.add(handed);
    return handed;
  };

  const join = (call: GrpcCall, connection: RouterConnection) => {
    const side = startJoinCall(call, {
      routerId: options.id,
      clock,
      admit: async ({ ticket, client }, port, message) => {
        const claims = await tickets.admit(ticket).catch((thrown: unknown) => {
          if (thrown instanceof MisroutedTicket) return thrown;
          throw thrown;
        });
        const member =
          claims instanceof MisroutedTicket
            ? await handOver(call, claims, message)
            : pairing.join(claims, client.slice(0, 200), port);
        connection.welcome();
        return member;
      },
      onRefused: refused,
    });
    const joining = { side, connection, beganAtMs: clock.monotonicMs(), isCountedStalled: false };
    joins.add(joining);
    call.stream.once("close", () => {
      joins.delete(joining);
      settleDrain();
    });
  };

  const unary = (call: GrpcCall, connection: RouterConnection, answer: Unary) => {
    const requests: Uint8Array[] = [];
    const fail = (thrown: unknown) => {
      const error = toAppError(thrown);
      refused(error);
      call.fail(error);
    };
    readMessages(call, {
      maxMessageBytes: MAX_SMALL_MESSAGE_BYTES,
      onMessage: (message) => {
        // A view of what came, which is not kept by others.
        requests.push(Uint8Array.from(message));
        if (requests.length > 1) fail(new AppError("invalid", "two messages were sent; allowed: one"));
      },
      onEnd: () => {
        const [request] = requests;
        if (request === undefined) return fail(new AppError("invalid", "no message was sent; allowed: one"));
        // Answered before it may stay: what asks nothing is no client.
        Promise.resolve()
          .then(() => answer(call, request))
          .then(connection.welcome, fail);
      },
    });
  };
  const answering =
    (make: (call: GrpcCall, request: Uint8Array) => Promise<Uint8Array>): Unary =>
    async (call, request) => {
      call.send(await make(call, request));
      call.finish();
    };

  const METHODS: Readonly<Record<string, (call: GrpcCall, connection: RouterConnection) => void>> = {
    [pathOf(RouterService, "Join")]: join,
    [pathOf(Health, "Check")]: (call, connection) => unary(call, connection, health.check),
    [pathOf(Health, "Watch")]: (call, connection) => unary(call, connection, health.watch),
    [pathOf(SessionService, "ListSessions")]: (call, connection) => unary(call, connection, answering(sessions.list)),
    [pathOf(SessionService, "GetSession")]: (call, connection) => unary(call, connection, answering(sessions.get)),
    [pathOf(SessionService, "TerminateSession")]: (call, connection) =>
      unary(call, connection, answering(sessions.terminate)),
    [pathOf(ServerReflection, "ServerReflectionInfo")]: (call, connection) =>
      readMessages(call, {
        maxMessageBytes: MAX_SMALL_MESSAGE_BYTES,
        onMessage: (question) => {
          try {
            call.send(answerReflection(question));
            connection.welcome();
          } catch (thrown) {
            call.fail(new AppError("invalid", messageOf(thrown)));
          }
        },
        onEnd: call.finish,
      }),
  };

  const lapJoins = (nowMs: number) => {
    for (const joining of joins) {
      const { side, connection, beganAtMs } = joining;
      if (side.isWaitingForJoin && nowMs - beganAtMs >= JOIN_WITHIN_MS) {
        const error = new AppError("timeout", `no join came within ${JOIN_WITHIN_MS / 1000} s`);
        refused(error);
        side.call.fail(error);
      }
      if (side.call.isEnded) continue;
      if (side.heldMs() >= SHRINK_AFTER_MS) connection.windows.shrink();
      const isStalled = side.stalledMs() >= STALLED_AFTER_MS;
      if (isStalled && !joining.isCountedStalled) counters.stalled();
      joining.isCountedStalled = isStalled;
    }
  };

  const settleDrain = () => {
    if (draining === undefined || draining.isDone) return;
    if (joins.size > 0 && clock.monotonicMs() < draining.cutAtMs) return;
    draining.isDone = true;
    for (const connection of connections) connection.destroy();
    draining.settle();
  };

  const lap = () => {
    lapTimer = undefined;
    const nowMs = clock.monotonicMs();
    pairing.lap();
    lapJoins(nowMs);
    lanes.lap();
    for (const connection of connections) connection.lap();
    const due = leaving.filter(({ atMs }) => atMs <= nowMs);
    leaving = leaving.filter(({ atMs }) => atMs > nowMs);
    for (const { leave } of due) leave();
    settleDrain();
    keepLapping();
  };
  const keepLapping = () => {
    if (connections.size > 0) lapTimer ??= clock.timer(LAP_MS, lap);
  };

  return {
    id: options.id,
    get isDraining() {
      return pairing.isDraining;
    },
    serve: (socket: Duplex, { isLaneOnly = false } = {}) => {
      if (socket.destroyed) return;
      const isFull = connections.size >= options.limits.sessions * CONNECTIONS_PER_SESSION + SPARE_CONNECTIONS;
      if (isFull || draining?.isDone === true) {
        counters.refused(isFull ? "RESOURCE_EXHAUSTED" : "UNAVAILABLE");
        socket.on("error", () => undefined);
        socket.destroy();
        return;
      }
      const onClose = () => {
        connections.delete(connection);
        if (connections.size > 0) return;
        lapTimer?.clear();
        lapTimer = undefined;
      };
      const connection: RouterConnection = openClientConnection(
        socket,
        { isLaneOnly },
        {
          clock,
          windows,
          bareDeadWhenQuietMs: options.rendezvousMs + QUIET_MS,
          onBareCall: join,
          onLane: (token, from) => {
            const arrival = lanes.arrive(token, from, onClose);
            if (arrival === undefined) counters.refused("UNAUTHENTICATED");
            return arrival;
          },
          onCall: (path, call) => {
            const method = METHODS[path];
            if (method !== undefined) return method(call, connection);
            call.fail(
              new AppError("unsupported", `there is no method ${path.slice(0, 200)}; reflection tells what there is`),
            );
          },
          onClose,
        },
      );
      connections.add(connection);
      keepLapping();
    },
    list: pairing.list,
    terminate,
    drain: (withinMs) => {
      if (draining !== undefined) return draining.done;
      const nowMs = clock.monotonicMs();
      const { promise, resolve } = Promise.withResolvers<void>();
      draining = { done: promise, settle: resolve, cutAtMs: nowMs + withinMs, isDone: false };
      pairing.drain();
      health.changed();
      // Those who are cut off by the one in the middle join again as well.
      const open = [
        ...pairing.list().map(
          ({ id }) =>
            () =>
              void pairing.end(id, DRAINING),
        ),
        ...[...handedOn].map(({ cut }) => cut),
      ];
      leaving = open.map((leave, index) => ({ leave, atMs: nowMs + (withinMs / 2) * (index / open.length) }));
      settleDrain();
      return promise;
    },
    metrics: () => {
      const all = pairing.list();
      const open = all.filter(({ state }) => state === "open").length;
      return counters.render({
        open,
        waiting: all.length - open,
        handedOn: handedOn.size,
        lanes: lanes.count,
        stalled: [...joins].filter(({ isCountedStalled }) => isCountedStalled).length,
        connections: connections.size,
        isDraining: pairing.isDraining,
      });
    },
  };
}

function pathOf(service: { readonly typeName: string }, method: string): string {
  return `/${service.typeName}/${method}`;
}
