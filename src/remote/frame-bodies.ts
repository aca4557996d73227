import { create } from "@bufbuild/protobuf";
import {
  AckSchema,
  CloseSchema,
  CreditSchema,
  DatagramSchema,
  ExitSeenSchema,
  FinSchema,
  HelloSchema,
  OpenedSchema,
  PingSchema,
  PongSchema,
  RefusedSchema,
  ResetSchema,
  ResizeSchema,
  SignalSchema,
  StopSchema,
  VitalsSchema,
} from "../contract/proto/sluice/router/v1/frame_pb.js";
import { type FrameBody, type PipeName, pipeOf } from "./frame.ts";
import type { EndVitals } from "./vitals.ts";

/** Bodies of frames, made of plain values. Lengths and totals are numbers here, 64 bits on the wire. */

export function creditBody(pipe: PipeName, upTo: number): FrameBody {
  return { case: "credit", value: create(CreditSchema, { pipe: pipeOf(pipe), upTo: BigInt(upTo) }) };
}

export function finBody(pipe: PipeName, total: number): FrameBody {
  return { case: "fin", value: create(FinSchema, { pipe: pipeOf(pipe), total: BigInt(total) }) };
}

export function stopBody(pipe: PipeName): FrameBody {
  return { case: "stop", value: create(StopSchema, { pipe: pipeOf(pipe) }) };
}

export function openedBody(facts: {
  readonly credit: number;
  readonly pid: number;
  readonly droppedBytes: number;
}): FrameBody {
  const { credit, pid, droppedBytes } = facts;
  const value = create(OpenedSchema, { initialCredit: BigInt(credit), pid, droppedBytes: BigInt(droppedBytes) });
  return { case: "opened", value };
}

export function refusedBody({ code, message }: Problem): FrameBody {
  return { case: "refused", value: create(RefusedSchema, { code, message }) };
}

export function resetBody({ code, message }: Problem): FrameBody {
  return { case: "reset", value: create(ResetSchema, { code, message }) };
}

export function resizeBody(size: { readonly cols: number; readonly rows: number }): FrameBody {
  return { case: "resize", value: create(ResizeSchema, size) };
}

export function signalBody(name: string): FrameBody {
  return { case: "signal", value: create(SignalSchema, { name }) };
}

export function exitSeenBody(): FrameBody {
  return { case: "exitSeen", value: create(ExitSeenSchema) };
}

export function datagramBody(flow: number, bytes: Uint8Array, dropped: number): FrameBody {
  return { case: "datagram", value: create(DatagramSchema, { flow, bytes, dropped }) };
}

export function helloBody(hello: {
  readonly version: number;
  readonly incarnation: string;
  readonly received: number;
  readonly program: string;
}): FrameBody {
  return { case: "hello", value: create(HelloSchema, { ...hello, received: BigInt(hello.received) }) };
}

export function ackBody(received: number): FrameBody {
  return { case: "ack", value: create(AckSchema, { received: BigInt(received) }) };
}

export function pingBody(id: number): FrameBody {
  return { case: "ping", value: create(PingSchema, { id: BigInt(id) }) };
}

export function pongBody(id: bigint, vitals: EndVitals): FrameBody {
  const whole = (value: number) => BigInt(Math.max(0, Math.round(value)));
  const { queuedBytes, unackedBytes, heldBytes, heldMs } = vitals;
  const told = create(VitalsSchema, {
    queuedBytes: whole(queuedBytes),
    unackedBytes: whole(unackedBytes),
    heldBytes: whole(heldBytes),
    heldMs: whole(heldMs),
  });
  return { case: "pong", value: create(PongSchema, { id, vitals: told }) };
}

/** Without a problem it is as it should be. */
export function closeBody(problem: Problem | undefined): FrameBody {
  return { case: "close", value: create(CloseSchema, { code: problem?.code ?? "", message: problem?.message ?? "" }) };
}

interface Problem {
  readonly code: string;
  readonly message: string;
}
