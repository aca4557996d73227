import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { AppError } from "../base/errors.ts";
import {
  GetSessionRequestSchema,
  GetSessionResponseSchema,
  ListSessionsResponseSchema,
  type SessionSchema,
  SessionState,
  TerminateSessionRequestSchema,
  TerminateSessionResponseSchema,
} from "../contract/proto/sluice/router/v1/control_pb.js";
import type { GrpcCall } from "./grpc-call.ts";
import type { RouterSession } from "./router.ts";
import type { TicketGate } from "./ticket-gate.ts";

export interface SessionServiceDeps {
  readonly routerId: string;
  readonly tickets: TicketGate;
  readonly list: () => RouterSession[];
  readonly get: (sessionId: string) => RouterSession | undefined;
  readonly terminate: (sessionId: string, message: string) => boolean;
  readonly isDraining: () => boolean;
}

const ALL = "*";
const MAX_MESSAGE_CHARACTERS = 500;

/** Answers to the calls of `SessionService`. They reject with what fails the call. */
export function createSessionService(deps: SessionServiceDeps) {
  const authorise = async (call: GrpcCall, sessionId: string): Promise<void> => {
    const [, ticket] = /^bearer +(\S+)$/i.exec(call.headers.authorization ?? "") ?? [];
    if (ticket === undefined) {
      throw new AppError("unauthorized", "a ticket of the side control is expected as `authorization: Bearer …`");
    }
    const claims = await deps.tickets.admit(ticket);
    if (claims.side !== "control") {
      throw new AppError("refused", `the ticket's side is ${claims.side}; allowed here: control`);
    }
    if (claims.sid !== ALL && claims.sid !== sessionId) {
      throw new AppError("refused", "the ticket is for another session");
    }
  };
  const notHere = (sessionId: string) => new AppError("not-found", `session ${sessionId.slice(0, 64)} is not here`);

  return {
    list: async (call: GrpcCall): Promise<Uint8Array> => {
      await authorise(call, ALL);
      return toBinary(
        ListSessionsResponseSchema,
        create(ListSessionsResponseSchema, {
          sessions: deps.list().map(toMessage),
          routerId: deps.routerId,
          draining: deps.isDraining(),
        }),
      );
    },
    get: async (call: GrpcCall, request: Uint8Array): Promise<Uint8Array> => {
      const { sessionId } = fromBinary(GetSessionRequestSchema, request);
      await authorise(call, sessionId);
      const session = deps.get(sessionId);
      if (session === undefined) throw notHere(sessionId);
      return toBinary(GetSessionResponseSchema, create(GetSessionResponseSchema, { session: toMessage(session) }));
    },
    terminate: async (call: GrpcCall, request: Uint8Array): Promise<Uint8Array> => {
      const { sessionId, message } = fromBinary(TerminateSessionRequestSchema, request);
      await authorise(call, sessionId);
      const said = message === "" ? "the session was ended" : message.slice(0, MAX_MESSAGE_CHARACTERS);
      if (!deps.terminate(sessionId, said)) throw notHere(sessionId);
      return toBinary(TerminateSessionResponseSchema, create(TerminateSessionResponseSchema));
    },
  };
}

function toMessage(session: RouterSession): MessageInitShape<typeof SessionSchema> {
  const whole = (value: number) => BigInt(Math.max(0, Math.round(value)));
  return {
    sessionId: session.id,
    box: session.box,
    operator: session.operator,
    operation: session.operation,
    state: session.state === "open" ? SessionState.OPEN : SessionState.WAITING,
    operatorJoined: session.sides.includes("operator"),
    boxJoined: session.sides.includes("box"),
    ageMs: whole(session.ageMs),
    idleMs: whole(session.idleMs),
    bytesToBox: whole(session.bytesToBox),
    bytesFromBox: whole(session.bytesFromBox),
    boxStalledMs: whole(session.boxStalledMs),
    operatorStalledMs: whole(session.operatorStalledMs),
  };
}
