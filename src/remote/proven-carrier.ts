import type { KeyObject } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import type { RemoteAdmission } from "../contract/fleet/remote.ts";
import { ChallengeSchema, ConfirmSchema, ProofSchema } from "../contract/proto/sluice/router/v1/frame_pb.js";
import { newRemoteKey, publicTextOf } from "../contract/remote/remote-key.ts";
import type { Carrier, LaneOffer } from "./carrier.ts";
import { encodeControl, type FrameBody } from "./frame.ts";
import {
  type AttemptFacts,
  boxKeys,
  confirmMac,
  type HandshakeKeys,
  isSame,
  operatorKeys,
  proofMac,
} from "./handshake-keys.ts";
import { meetAsBox, meetAsOperator } from "./meet-on-lane.ts";
import { createStagedCarrier, linkBodyOf, type StagedCarrier } from "./staged-carrier.ts";

/** What the operator's end proves itself with. */
export interface ProofTask extends AttemptFacts {
  readonly ticket: string;
  /** Of the key that the ticket names. */
  readonly privateKey: KeyObject;
  readonly boxKey: string;
}

/** Throws `version`: the hub does not tell by what the box can be known. */
export function proofTaskOf(
  { id, box, attempt, ticket, boxKey }: RemoteAdmission,
  own: Pick<ProofTask, "privateKey" | "isSealed">,
): ProofTask {
  if (boxKey === undefined) {
    throw new AppError(
      "version",
      "the hub does not tell by what the box can be known: it is older than this sluice, upgrade it",
    );
  }
  return { session: id, box, attempt, ticket, boxKey, ...own };
}

export interface ProofDeps {
  readonly clock: Clock;
}

/** A proof that was made before the box has asked. */
export interface EarlyProof {
  /** Behind the operator's `join`. */
  readonly frame: Uint8Array;
  readonly keys: HandshakeKeys;
}

/**
 * For a box that takes it: what the box checks is then there when both ends have met. Not for what is sealed, for whose keys a key that the box
 * makes for this carrier alone is needed. Throws `unavailable` where the box's key is none.
 */
export function proveEarly(task: ProofTask): EarlyProof {
  const { ticket, privateKey, boxKey: box } = task;
  let keys: HandshakeKeys;
  try {
    keys = operatorKeys(task, privateKey, { box });
  } catch (cause) {
    throw new AppError("unavailable", `the key by which the hub knows the box is none: ${messageOf(cause)}`, { cause });
  }
  const value = create(ProofSchema, { ticket, mac: proofMac(keys, ticket), early: true });
  return { frame: encodeControl({ seq: 0, channel: 0, body: { case: "proof", value } }), keys };
}

/** The other end has so long to say its part, once both are there. */
const PROOF_MS = 20_000;
/** A ticket and a MAC, with room for claims to come. */
const MAX_PROOF_BYTES = 16 * 1024;

/**
 * Of the operator's end: proves itself to the box with the key that its ticket names. Resolves when the proof is on its way; where a lane
 * is offered, when it is known where both meet. Whatever
 * goes wrong, then or later, is the end of the carrier that it gives: `refused` is the box's word, `tampered` and `broken` name a
 * router that changes what it carries, or stands in for the box.
 */
export function proveToBox(
  carrier: Carrier,
  task: ProofTask,
  { clock }: ProofDeps,
  early?: EarlyProof,
): Promise<Carrier> {
  const { ticket, privateKey, boxKey } = task;
  const lane = early === undefined ? startLane(carrier) : undefined;
  const { promise, resolve } = Promise.withResolvers<Carrier>();
  const staged: StagedCarrier = createStagedCarrier(carrier, clock, {
    onFirst: (pieces) => {
      const body = smallBodyOf(pieces);
      if (body?.case !== "challenge")
        return staged.end("broken", "what answered at the router is no box: it asks for no proof");
      if (early !== undefined) return hear(early.keys);
      const challenge = Buffer.from(body.value.ephemeral).toString("base64url");
      let keys: HandshakeKeys;
      try {
        keys = operatorKeys(task, privateKey, { box: boxKey, challenge });
      } catch (thrown) {
        return staged.end("broken", `what answered at the router is no box: ${messageOf(thrown)}`);
      }
      const mac = proofMac(keys, ticket);
      staged.say({ case: "proof", value: create(ProofSchema, { ticket, mac }) });
      // What is sealed for the box nobody else can open: it may go before the box has answered.
      staged.sendWith(task.isSealed ? keys.toBox : undefined);
      hear(keys);
      // Whoever may meet the box elsewhere waits for its word.
      if (lane === undefined) resolve(staged.carrier);
    },
    onGone: () => resolve(staged.carrier),
    limitMs: PROOF_MS,
    onLate: () => staged.end("broken", `the box did not answer to the proof within ${PROOF_MS / 1000} s`),
  });
  const hear = (keys: HandshakeKeys) =>
    staged.receiveFirst((answer) => {
      const confirm = smallBodyOf(answer);
      if (confirm?.case === "refused") return staged.leftByOther(confirm.value);
      if (confirm?.case !== "confirm" || !isSame(confirm.value.mac, confirmMac(keys))) {
        return staged.end(
          "tampered",
          "what answered at the router is not the box that the hub names: it does not have that box's key",
        );
      }
      staged.receiveWith(task.isSealed ? keys.toOperator : undefined);
      if (lane !== undefined) resolve(meetAsOperator({ call: staged.carrier, lane, key: keys.lane }, { clock }));
    });
  // It is on its way already, and so may be what the session says.
  if (early !== undefined) resolve(staged.carrier);
  return promise;
}

/**
 * Of the box's end: lets nobody in who does not prove that they have the key of a ticket that `judge` takes. `judge` gives that key, or
 * throws what is told to both ends. Never rejects: what went wrong is the end of the carrier that it gives, `refused` where it was the proof.
 */
export function awaitProof(
  carrier: Carrier,
  task: AttemptFacts & { readonly boxKey: KeyObject; readonly takesEarly?: boolean },
  judge: (ticket: string) => string,
  { clock }: ProofDeps,
  signal: AbortSignal,
): Promise<Carrier> {
  const { promise, resolve } = Promise.withResolvers<Carrier>();
  const challenge = newRemoteKey();
  const lane = startLane(carrier);
  const onAbort = () => staged.end("broken", "it is waited for no more");
  const done = (proven = staged.carrier) => {
    signal.removeEventListener("abort", onAbort);
    resolve(proven);
  };
  const staged: StagedCarrier = createStagedCarrier(carrier, clock, {
    onFirst: (pieces) => {
      let keys: HandshakeKeys;
      try {
        keys = prove(pieces);
      } catch (thrown) {
        const code = thrown instanceof AppError ? thrown.code : "internal";
        return staged.refuse({ code, message: messageOf(thrown) });
      }
      staged.say({ case: "confirm", value: create(ConfirmSchema, { mac: confirmMac(keys) }) });
      staged.sendWith(task.isSealed ? keys.toOperator : undefined);
      staged.receiveWith(task.isSealed ? keys.toBox : undefined);
      if (lane === undefined) return done();
      void meetAsBox({ call: staged.carrier, lane, key: keys.lane }, { clock }).then(done);
    },
    onGone: () => done(),
    limitMs: PROOF_MS,
    onLate: () =>
      staged.refuse({ code: "unauthorized", message: `nobody proved to be the operator within ${PROOF_MS / 1000} s` }),
  });
  const prove = (pieces: readonly Uint8Array[]): HandshakeKeys => {
    const body = smallBodyOf(pieces);
    if (body?.case !== "proof") {
      throw new AppError(
        "unauthorized",
        "no ticket was shown: what joined is a router, or a sluice before version 2 of sessions, which is to be upgraded",
      );
    }
    const { early: isEarly } = body.value;
    if (isEarly && (task.takesEarly !== true || task.isSealed || lane !== undefined)) {
      throw new AppError(
        "unauthorized",
        "the proof was made before this box has asked for it, which it does not take here",
      );
    }
    const operator = judge(body.value.ticket);
    const keys = boxKeys(task, { box: task.boxKey, challenge: isEarly ? undefined : challenge }, operator);
    if (!isSame(body.value.mac, proofMac(keys, body.value.ticket))) {
      throw new AppError(
        "unauthorized",
        "who shows the ticket does not have its key: it is the operator's, and was shown by another",
      );
    }
    return keys;
  };
  signal.addEventListener("abort", onAbort, { once: true });
  const ephemeral = Buffer.from(publicTextOf(challenge), "base64url");
  staged.say({ case: "challenge", value: create(ChallengeSchema, { ephemeral }) });
  if (signal.aborted) onAbort();
  return promise;
}

/** Dialled while the ends prove themselves: what it takes is not waited for twice. */
function startLane({ lane }: Carrier): LaneOffer | undefined {
  lane?.meet().catch(() => undefined);
  return lane;
}

/** `undefined`: it is none, or too large for one. */
function smallBodyOf(pieces: readonly Uint8Array[]): FrameBody | undefined {
  let bytes = 0;
  for (const piece of pieces) bytes += piece.length;
  return bytes > MAX_PROOF_BYTES ? undefined : linkBodyOf(pieces);
}
