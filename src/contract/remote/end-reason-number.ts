import { EndReason } from "../proto/sluice/router/v1/router_pb.js";
import { END_REASONS, type EndReasonName } from "./end-reason.ts";

/** As it stands on the wire. */
export const END_REASON_NUMBERS: Readonly<Record<EndReasonName, EndReason>> = {
  "peer-done": EndReason.PEER_DONE,
  "peer-lost": EndReason.PEER_LOST,
  "rendezvous-timeout": EndReason.RENDEZVOUS_TIMEOUT,
  replaced: EndReason.REPLACED,
  idle: EndReason.IDLE,
  "max-age": EndReason.MAX_AGE,
  terminated: EndReason.TERMINATED,
  draining: EndReason.DRAINING,
  protocol: EndReason.PROTOCOL,
};

/** `undefined`: a later version's. */
export function endReasonOf(number: EndReason): EndReasonName | undefined {
  return END_REASONS.find((name) => END_REASON_NUMBERS[name] === number);
}
