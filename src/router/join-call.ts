import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import { MESSAGE_PREFIX_BYTES, readPrefix } from "../base/grpc/grpc-messages.ts";
import { toAppError } from "../contract/error-code.ts";
import { type Join, JoinRequestSchema, JoinResponseSchema } from "../contract/proto/sluice/router/v1/router_pb.js";
import { END_REASON_NUMBERS } from "../contract/remote/end-reason-number.ts";
import type { GrpcCall } from "./grpc-call.ts";
import type { Lane, LaneSide } from "./lane-desk.ts";
import type { Membership, SidePort } from "./pairing.ts";
import { type Relay, startRelay } from "./relay.ts";
import type { SessionEnd } from "./session-end.ts";

/** A call of `Join`, from its first message to its end. */
export interface JoinCall extends SidePort<JoinCall> {
  readonly call: GrpcCall;
  /** What brings it what the other side sends. */
  inbound: Relay | undefined;
  readonly isWaitingForJoin: boolean;
  /** It has said that it can meet the other side on a lane. */
  readonly canTakeLane: boolean;
  /** Of the session, once it was promised. */
  lane: { readonly lane: Lane; readonly side: LaneSide } | undefined;
  /** What this side has sent on the lane, of which nobody here can say what it is. */
  sentOnLane(bytes: number): void;
  /** How long what it sends was not taken by the other side while it is held for that; 0: it is not held. */
  heldMs(): number;
}

/** A call that was let in, here or at the router that it was handed on to. */
export interface Admitted extends Membership {
  /** Of one that was handed on, as `JoinCall` says them. */
  heldMs?(): number;
  stalledMs?(): number;
}

export interface JoinCallDeps {
  readonly routerId: string;
  readonly clock: Pick<Clock, "monotonicMs">;
  /** `message`: its first one as it came, with its prefix. Rejects where the call cannot begin. */
  readonly admit: (join: Join, side: JoinCall, message: Uint8Array) => Promise<Admitted>;
  readonly onRefused: (error: AppError) => void;
}

const MAX_JOIN_BYTES = 16 * 1024;

export function startJoinCall(call: GrpcCall, deps: JoinCallDeps): JoinCall {
  const { stream } = call;
  let head: Buffer = Buffer.alloc(0);
  let isWaitingForJoin = true;
  let member: Admitted | undefined;
  let outbound: Relay | undefined;
  let hasSaidEnd = false;
  let isLost = false;
  let canTakeLane = false;

  const say = (message: Parameters<typeof create<typeof JoinResponseSchema>>[1]) =>
    call.send(toBinary(JoinResponseSchema, create(JoinResponseSchema, message)));
  const sayEnded = (end: SessionEnd) => {
    hasSaidEnd = true;
    say({ message: { case: "ended", value: { reason: END_REASON_NUMBERS[end.reason], message: end.message } } });
  };
  const refuse = (thrown: unknown) => {
    const error = toAppError(thrown);
    if (!isLost) deps.onRefused(error);
    call.fail(error);
  };

  const side: JoinCall = {
    call,
    inbound: undefined,
    get isWaitingForJoin() {
      return isWaitingForJoin && !call.isEnded;
    },
    get canTakeLane() {
      return canTakeLane;
    },
    lane: undefined,
    sentOnLane: (bytes) => member?.relayed(bytes, false),
    waiting: (message, waitedMs) =>
      say({ message: { case: "waiting", value: { message, waitedMs: Math.round(waitedMs) } } }),
    joined: ({ sessionId, peerClient, laneToken = "" }) =>
      say({ message: { case: "joined", value: { sessionId, routerId: deps.routerId, peerClient, laneToken } } }),
    relayTo: (peer) => {
      outbound = startRelay(
        { from: stream, to: peer.call.stream },
        {
          clock: deps.clock,
          onRelayed: (bytes, isActivity) => member?.relayed(bytes, isActivity),
          onEnd: () => member?.done(),
          onBroken: (message) => member?.broke(message),
        },
      );
      peer.inbound = outbound;
    },
    peerDone: sayEnded,
    end: (end) => {
      side.lane?.lane.conclude(end.reason === "peer-done");
      outbound?.stop();
      side.inbound?.stop();
      // What this side sent after its end was said may not have arrived, and it cannot be told any more.
      const isLossUntold = hasSaidEnd && end.reason !== "peer-done";
      if (isLossUntold || side.inbound?.isForwardedPartly === true) {
        call.reset();
        return;
      }
      if (!hasSaidEnd) sayEnded(end);
      call.finish();
    },
    stalledMs: () =>
      Math.max(
        side.inbound?.stalledMs() ?? member?.stalledMs?.() ?? 0,
        side.lane?.lane.heldMs(side.lane.side === "operator" ? "box" : "operator") ?? 0,
      ),
    heldMs: () => outbound?.stalledMs() ?? member?.heldMs?.() ?? 0,
  };

  const onData = (chunk: Buffer) => {
    head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
    try {
      if (head.length < MESSAGE_PREFIX_BYTES) return;
      const whole = MESSAGE_PREFIX_BYTES + readPrefix(head, 0, MAX_JOIN_BYTES);
      if (head.length < whole) return;
      isWaitingForJoin = false;
      stream.off("data", onData);
      stream.off("end", onEarlyEnd);
      stream.pause();
      const join = readJoin(head.subarray(MESSAGE_PREFIX_BYTES, whole));
      canTakeLane = join.lane;
      const message = Uint8Array.from(head.subarray(0, whole));
      if (head.length > whole) stream.unshift(head.subarray(whole));
      head = Buffer.alloc(0);
      deps.admit(join, side, message).then((admitted) => {
        member = admitted;
        if (isLost) member.lost("its connection broke");
      }, refuse);
    } catch (thrown) {
      isWaitingForJoin = false;
      stream.off("data", onData);
      stream.off("end", onEarlyEnd);
      // Too large for a first message is no `join`, whatever it is.
      refuse(new AppError("invalid", messageOf(thrown)));
    }
  };
  const onEarlyEnd = () => {
    if (!isLost && isWaitingForJoin) refuse(new AppError("invalid", "the call ended before join; allowed first: join"));
  };
  const onLost = () => {
    if (isLost) return;
    isLost = true;
    member?.lost("its connection broke");
  };
  stream.on("data", onData);
  stream.on("end", onEarlyEnd);
  stream.on("aborted", onLost);
  stream.on("close", onLost);
  return side;
}

function readJoin(bytes: Uint8Array): Join {
  const request = fromBinary(JoinRequestSchema, bytes);
  if (request.message.case === "join") return request.message.value;
  throw new AppError("invalid", `the first message is ${request.message.case ?? "empty"}; allowed: join`);
}
