import type { CarrierEnd } from "../../remote/carrier.ts";
import { failure, failureOf, type RemoteFailure } from "./remote-failure.ts";

/** What the end of a carrier means for its session. */
export type CarrierVerdict =
  /** Both ends hold the session: join again. */
  { readonly kind: "resume"; readonly reason: string } | { readonly kind: "over"; readonly failure: RemoteFailure };

/** Of a carrier on which both ends had met, in a session that nobody has closed. Pure. */
export function judgeCarrierEnd({ reason, message }: CarrierEnd): CarrierVerdict {
  switch (reason) {
    // Without `close` the other end is not done: its program left the router, and may come back.
    case "peer-done":
    case "peer-lost":
    case "rendezvous-timeout":
    case "draining":
    case "broken":
      return { kind: "resume", reason: message };
    case "replaced":
      return over("lost", "conflict", `another program took this session over: ${message}`);
    case "idle":
    case "max-age":
      return over("lost", "timeout", message);
    case "terminated":
      return over("lost", "refused", message);
    case "refused":
      return over("denied", "refused", message);
    case "tampered":
      return over("lost", "conflict", message);
    case "protocol":
      return over("usage", "invalid", message);
  }
}

/** Of an attempt to come back that failed. Pure. */
export function judgeRejoin(thrown: unknown): CarrierVerdict {
  const { code, message } = failureOf(thrown);
  switch (code) {
    case "unauthorized":
    case "refused":
      return over("denied", code, message);
    case "not-found":
    case "conflict":
    case "cancelled":
      return over("lost", code, `the session is over: ${message}`);
    case "invalid":
    case "unsupported":
    case "version":
    case "too-large":
      return over("usage", code, message);
    default:
      return { kind: "resume", reason: message };
  }
}

function over(...args: Parameters<typeof failure>): CarrierVerdict {
  return { kind: "over", failure: failure(...args) };
}
