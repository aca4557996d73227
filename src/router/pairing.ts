import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { EndReasonName } from "../contract/remote/end-reason.ts";
import type { TicketClaims } from "../contract/remote/ticket.ts";
import type { RouterEvent, RouterSession } from "./router.ts";
import type { RouterCounters } from "./router-counters.ts";
import type { SessionEnd } from "./session-end.ts";

export interface JoinedFacts {
  readonly sessionId: string;
  readonly peerClient: string;
  /** Absent: there is none. */
  readonly laneToken?: string | undefined;
}

/** One end of a session, as the pairing speaks to it. */
export interface SidePort<Self> {
  waiting(message: string, waitedMs: number): void;
  joined(facts: JoinedFacts): void;
  /** From the next turn on what this side sends goes to that one. Both have been told `joined`. */
  relayTo(peer: Self): void;
  /** The other side has closed in order. This one may go on sending. */
  peerDone(end: SessionEnd): void;
  /** The last that it hears. */
  end(end: SessionEnd): void;
  /** How long it has not read what waits for it; 0: it reads. */
  stalledMs(): number;
}

/** What a side tells of itself. After its end nothing of it counts. */
export interface Membership {
  relayed(bytes: number, isActivity: boolean): void;
  /** It has closed in order. */
  done(): void;
  /** Its connection broke. */
  lost(message: string): void;
  /** What it sent is no message of the contract. */
  broke(message: string): void;
}

export interface Pairing<Port> {
  /** Throws `refused`, `exhausted` or `unavailable` where the call cannot begin. */
  join(claims: TicketClaims, client: string, port: Port): Membership;
  list(): RouterSession[];
  get(sessionId: string): RouterSession | undefined;
  /** False: there is none. */
  end(sessionId: string, end: SessionEnd): boolean;
  /** No joins from now on; who waits is told at once. */
  drain(): void;
  readonly isDraining: boolean;
  /** To be called about every second: what time has ended is ended, and who waits hears of it. */
  lap(): void;
}

export interface PairingOptions {
  readonly limits: { readonly sessions: number; readonly sessionsPerOperator: number };
  readonly rendezvousMs: number;
}

type SideName = "operator" | "box";

interface Side<Port> {
  readonly name: SideName;
  readonly port: Port;
  readonly client: string;
  readonly joinedAtMs: number;
  saidWaitingAtMs: number;
  heardAtMs: number;
  isDone: boolean;
}

interface Session<Port> {
  readonly id: string;
  readonly box: string;
  readonly operator: string;
  readonly operation: string;
  readonly attempt: number | undefined;
  readonly beganAtMs: number;
  readonly sides: Partial<Record<SideName, Side<Port>>>;
  isOpen: boolean;
  firstDone?: SideName;
  idleMs: number;
  endsAtMs: number;
  activeAtMs: number;
  readonly bytesFrom: Record<SideName, number>;
}

const SAY_WAITING_EVERY_MS = 5000;
const OTHER = { operator: "box", box: "operator" } as const;
const NAMES = { operator: "the operator's program", box: "the box" } as const;
const DRAINING = "the router is about to end: join again, at another one";

/**
 * Who meets whom. Session → sides; the newest side that showed a ticket wins. Nothing outlives a pair: when one side goes, the other
 * hears of it and both may join again.
 */
export function createPairing<Port extends SidePort<Port>>(
  options: PairingOptions,
  deps: {
    readonly clock: Pick<Clock, "monotonicMs">;
    readonly counters: RouterCounters;
    readonly onEvent: (event: RouterEvent) => void;
    /** Before they are told that both are there. */
    readonly promiseLane?: (sides: Record<SideName, Port>) => Readonly<Record<SideName, string>> | undefined;
  },
): Pairing<Port> {
  const { clock, counters } = deps;
  const sessions = new Map<string, Session<Port>>();
  const perOperator = new Map<string, number>();
  let isDraining = false;

  const viewOf = (session: Session<Port>): RouterSession => {
    const nowMs = clock.monotonicMs();
    return {
      id: session.id,
      box: session.box,
      operator: session.operator,
      operation: session.operation,
      state: session.isOpen ? "open" : "waiting",
      sides: (["operator", "box"] as const).filter((name) => session.sides[name] !== undefined),
      ageMs: nowMs - session.beganAtMs,
      idleMs: nowMs - session.activeAtMs,
      bytesToBox: session.bytesFrom.operator,
      bytesFromBox: session.bytesFrom.box,
      boxStalledMs: session.sides.box?.port.stalledMs() ?? 0,
      operatorStalledMs: session.sides.operator?.port.stalledMs() ?? 0,
      boxQuietMs: nowMs - (session.sides.box?.heardAtMs ?? nowMs),
      operatorQuietMs: nowMs - (session.sides.operator?.heardAtMs ?? nowMs),
    };
  };

  /** Forgets the session first, so that nothing a side does while it hears of its end finds it. */
  const endSession = (session: Session<Port>, end: SessionEnd, endOf?: Partial<Record<SideName, SessionEnd>>): void => {
    if (sessions.get(session.id) !== session) return;
    const view = viewOf(session);
    sessions.delete(session.id);
    const left = (perOperator.get(session.operator) ?? 1) - 1;
    if (left === 0) perOperator.delete(session.operator);
    else perOperator.set(session.operator, left);
    counters.ended(end.reason);
    for (const name of ["operator", "box"] as const) session.sides[name]?.port.end(endOf?.[name] ?? end);
    deps.onEvent({ kind: "ended", session: view, end });
  };

  const create = (claims: TicketClaims): Session<Port> => {
    if (sessions.size >= options.limits.sessions) {
      throw new AppError("exhausted", `this router has ${sessions.size} sessions, as many as it may: try another`);
    }
    const ofOperator = perOperator.get(claims.sub) ?? 0;
    if (ofOperator >= options.limits.sessionsPerOperator) {
      throw new AppError(
        "exhausted",
        `${claims.sub} has ${ofOperator} sessions at this router; allowed: ${options.limits.sessionsPerOperator}`,
      );
    }
    const nowMs = clock.monotonicMs();
    const session: Session<Port> = {
      id: claims.sid,
      box: claims.box,
      operator: claims.sub,
      operation: claims.op,
      attempt: claims.att,
      beganAtMs: nowMs,
      sides: {},
      isOpen: false,
      idleMs: claims.idle * 1000,
      endsAtMs: nowMs + claims.max * 1000,
      activeAtMs: nowMs,
      bytesFrom: { operator: 0, box: 0 },
    };
    sessions.set(session.id, session);
    perOperator.set(claims.sub, ofOperator + 1);
    return session;
  };

  const waitingText = (name: SideName, waitedMs: number) =>
    `waiting for ${NAMES[OTHER[name]]} (${Math.round(waitedMs / 1000)} s of ${Math.round(options.rendezvousMs / 1000)} s)`;

  const open = (session: Session<Port>, operator: Side<Port>, box: Side<Port>): void => {
    const nowMs = clock.monotonicMs();
    session.isOpen = true;
    session.activeAtMs = nowMs;
    counters.met((nowMs - Math.min(operator.joinedAtMs, box.joinedAtMs)) / 1000);
    const lane = deps.promiseLane?.({ operator: operator.port, box: box.port });
    operator.port.joined({ sessionId: session.id, peerClient: box.client, laneToken: lane?.operator });
    box.port.joined({ sessionId: session.id, peerClient: operator.client, laneToken: lane?.box });
    deps.onEvent({ kind: "open", session: viewOf(session) });
    operator.port.relayTo(box.port);
    box.port.relayTo(operator.port);
  };

  /** Makes room for a side that joins. False: a later attempt is here, and this side comes too late. */
  const makeRoom = (session: Session<Port>, claims: TicketClaims, name: SideName): boolean => {
    const isOtherAttempt = claims.att !== undefined && session.attempt !== undefined && claims.att !== session.attempt;
    if (isOtherAttempt && (claims.att ?? 0) < (session.attempt ?? 0)) return false;
    if (!isOtherAttempt && session.sides[name] === undefined) return true;
    const replaced: SessionEnd = { reason: "replaced", message: `${NAMES[name]} joined again`, by: name };
    const peerLost: SessionEnd = { reason: "peer-lost", message: `${NAMES[name]} joined again: join anew to meet it` };
    if (isOtherAttempt || session.isOpen) {
      endSession(session, replaced, { [name]: replaced, [OTHER[name]]: peerLost });
    } else {
      const old = session.sides[name];
      delete session.sides[name];
      counters.ended("replaced");
      old?.port.end(replaced);
    }
    return true;
  };

  const memberOf = (session: Session<Port>, side: Side<Port>): Membership => {
    const isMember = () => sessions.get(session.id) === session && session.sides[side.name] === side;
    const leave = (reason: EndReasonName, own: string, peer: string) => {
      if (!isMember()) return;
      const end: SessionEnd = { reason, message: own, by: side.name };
      endSession(session, end, { [OTHER[side.name]]: { reason, message: peer } });
    };
    return {
      relayed: (bytes, isActivity) => {
        session.bytesFrom[side.name] += bytes;
        counters.relayed(side.name === "operator" ? "to_box" : "from_box", bytes);
        side.heardAtMs = clock.monotonicMs();
        if (isActivity) session.activeAtMs = side.heardAtMs;
      },
      done: () => {
        if (!isMember()) return;
        side.isDone = true;
        session.firstDone ??= side.name;
        const peer = session.sides[OTHER[side.name]];
        const end: SessionEnd = { reason: "peer-done", message: `${NAMES[side.name]} has closed its side` };
        if (peer?.isDone === true) {
          endSession(session, { reason: "peer-done", message: "both sides have closed", by: session.firstDone });
        } else peer?.port.peerDone(end);
      },
      lost: (message) => {
        const gone = `${NAMES[side.name]} is gone: ${message}`;
        // A box closes when a session is over for it: an operator that left after that, without a last word, has broken nothing.
        if (!isMember() || side.name === "box" || session.sides.box?.isDone !== true) {
          return leave("peer-lost", message, gone);
        }
        const end: SessionEnd = { reason: "peer-done", message: `${NAMES.box} has closed its side`, by: "box" };
        endSession(session, end, { box: { reason: "peer-lost", message: gone } });
      },
      broke: (message) => leave("protocol", message, `${NAMES[side.name]} broke the protocol: ${message}`),
    };
  };

  const lapOf = (session: Session<Port>, nowMs: number): void => {
    if (nowMs >= session.endsAtMs) {
      endSession(session, { reason: "max-age", message: "the session has lasted as long as it may" });
      return;
    }
    if (session.isOpen) {
      if (nowMs - session.activeAtMs >= session.idleMs) {
        const minutes = Math.round(session.idleMs / 60_000);
        const spent = minutes > 0 ? `${minutes} min` : `${session.idleMs / 1000} s`;
        endSession(session, { reason: "idle", message: `nothing was sent for ${spent}` });
      }
      return;
    }
    for (const side of Object.values(session.sides)) {
      const waitedMs = nowMs - side.joinedAtMs;
      if (waitedMs >= options.rendezvousMs) {
        const message = `${NAMES[OTHER[side.name]]} did not come within ${Math.round(options.rendezvousMs / 1000)} s`;
        endSession(session, { reason: "rendezvous-timeout", message });
      } else if (nowMs - side.saidWaitingAtMs >= SAY_WAITING_EVERY_MS) {
        side.saidWaitingAtMs = nowMs;
        side.port.waiting(waitingText(side.name, waitedMs), waitedMs);
      }
    }
  };

  return {
    get isDraining() {
      return isDraining;
    },
    join: (claims, client, port) => {
      if (isDraining) throw new AppError("unavailable", "the router is about to end: try another");
      if (claims.side === "control") {
        throw new AppError("refused", "the ticket's side is control; allowed to join: operator, box");
      }
      const name = claims.side;
      const found = sessions.get(claims.sid);
      if (found !== undefined && (found.box !== claims.box || found.operator !== claims.sub)) {
        throw new AppError("refused", "the ticket's box or operator is not that of the session");
      }
      const nowMs = clock.monotonicMs();
      if (found !== undefined && !makeRoom(found, claims, name)) {
        port.end({ reason: "replaced", message: "a later attempt of this session is here" });
        return { relayed: () => undefined, done: () => undefined, lost: () => undefined, broke: () => undefined };
      }
      const session = sessions.get(claims.sid) ?? create(claims);
      session.idleMs = Math.min(session.idleMs, claims.idle * 1000);
      session.endsAtMs = Math.min(session.endsAtMs, nowMs + claims.max * 1000);
      const side: Side<Port> = {
        name,
        port,
        client,
        joinedAtMs: nowMs,
        saidWaitingAtMs: nowMs,
        heardAtMs: nowMs,
        isDone: false,
      };
      session.sides[name] = side;
      const { operator, box } = session.sides;
      if (operator !== undefined && box !== undefined) {
        open(session, operator, box);
      } else {
        port.waiting(waitingText(name, 0), 0);
        deps.onEvent({ kind: "waiting", session: viewOf(session) });
      }
      return memberOf(session, side);
    },
    list: () => [...sessions.values()].map(viewOf),
    get: (sessionId) => {
      const session = sessions.get(sessionId);
      return session === undefined ? undefined : viewOf(session);
    },
    end: (sessionId, end) => {
      const session = sessions.get(sessionId);
      if (session !== undefined) endSession(session, end);
      return session !== undefined;
    },
    drain: () => {
      isDraining = true;
      for (const session of [...sessions.values()]) {
        if (!session.isOpen) endSession(session, { reason: "draining", message: DRAINING });
      }
    },
    lap: () => {
      const nowMs = clock.monotonicMs();
      for (const session of [...sessions.values()]) lapOf(session, nowMs);
    },
  };
}
