import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { AppError } from "../base/errors.ts";
import type { Carrier, LaneOffer } from "./carrier.ts";
import { holdFrames } from "./held-carrier.ts";
import { choosePlace, isLaneToBlame, type MeetingRole, type MeetingState } from "./meeting-place.ts";

export interface LaneMeeting {
  /** On which both ends are there. */
  readonly call: Carrier;
  readonly lane: LaneOffer;
  readonly role: MeetingRole;
  /** TLS with the other end over a connection to it. Rejects where that is another one, does not answer or leaves. */
  readonly seal: (socket: Socket) => Promise<TLSSocket>;
}

export interface Met {
  /** Where this end speaks from now on; absent: on the call. */
  readonly line?: TLSSocket;
  /** What has come on it waits for whoever listens. */
  readonly call: Carrier;
  /** Why there is no lane. */
  readonly problem?: unknown;
  readonly isLaneToBlame: boolean;
}

/** Finds out where both ends speak. Rejects with the signal's reason only, and nothing is left open but the call. */
export function meetOnLane({ call: given, lane, role, seal }: LaneMeeting, signal?: AbortSignal): Promise<Met> {
  return new Promise((resolve, reject) => {
    let state: MeetingState = { lane: "awaited", call: "silent", hasBeaten: false };
    let isDecided = false;
    let socket: Socket | undefined;
    let line: TLSSocket | undefined;
    let problem: unknown;

    const decided = () => {
      isDecided = true;
      signal?.removeEventListener("abort", onAbort);
    };
    const dropLane = () => {
      line?.destroy();
      socket?.destroy();
    };
    const see = (change: Partial<MeetingState>) => {
      if (isDecided) return;
      state = { ...state, ...change };
      const place = choosePlace(role, state);
      if (place === undefined) return;
      decided();
      if (place === "lane" && line !== undefined) {
        call.passBeats();
        return resolve({ line, call, isLaneToBlame: false });
      }
      dropLane();
      resolve({ call, problem, isLaneToBlame: isLaneToBlame(role, state, problem) });
    };
    const onAbort = () => {
      if (isDecided) return;
      decided();
      if (isLaneToBlame(role, state, problem)) lane.failed();
      dropLane();
      reject(signal?.reason);
    };
    const call = holdFrames(given, {
      onFrame: () => see({ call: "spoken" }),
      onBeat: () => see({ hasBeaten: true }),
      onEnd: () => see({ call: "over" }),
    });
    const failed = (thrown: unknown) => {
      problem ??= thrown;
      see({ lane: "failed" });
    };
    const onSealed = (sealed: TLSSocket) => {
      if (isDecided) {
        sealed.destroy();
        return;
      }
      line = sealed;
      if (!role.decides) {
        sealed.once("close", () => failed(new AppError("unavailable", "the other side left")));
        // They are read again by whoever listens next, once that resumes.
        sealed.once("data", (first: Buffer) => {
          sealed.pause();
          sealed.unshift(first);
          see({ lane: "spoken" });
        });
      }
      see({ lane: "sealed" });
    };
    lane
      .meet()
      .then((met) => {
        socket = met;
        if (isDecided) throw new AppError("cancelled", "this end speaks elsewhere");
        return seal(met);
      })
      .then(onSealed)
      .catch((thrown: unknown) => {
        failed(thrown);
        dropLane();
      });
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  });
}
