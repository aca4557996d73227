import { AppError } from "../../base/errors.ts";
import { toAppError } from "../../contract/error-code.ts";
import type { RemoteCreate } from "../../contract/fleet/remote.ts";
import { CARRIER_END_REASONS, type CarrierEnd } from "../../remote/carrier.ts";
import type { JoinTarget } from "../../remote/router-dialler.ts";

/** Of a command. The first on each connection says what it is for. */
export type Asked =
  /** Calls of the hub follow. The keeper ends itself so long after its last use, by the last that said so. */
  | { readonly kind: "use"; readonly idleSeconds: number }
  | { readonly kind: "call"; readonly id: number; readonly call: LinkCall }
  /** From here on frames of this session. */
  | { readonly kind: "join"; readonly target: JoinTarget }
  | { readonly kind: "status" }
  | { readonly kind: "stop" };

export type LinkCall =
  | { readonly name: "create"; readonly box: string; readonly body: RemoteCreate }
  | { readonly name: "rejoin"; readonly session: string; readonly key: string }
  | { readonly name: "get"; readonly session: string }
  | { readonly name: "find"; readonly given: string };

/** Of a keeper. */
export type Told =
  | { readonly kind: "used"; readonly pid: number }
  | { readonly kind: "answer"; readonly id: number; readonly value?: unknown; readonly error?: LinkError }
  | { readonly kind: "waiting"; readonly message: string }
  | { readonly kind: "joined"; readonly sessionId: string; readonly routerId: string; readonly peerClient: string }
  | { readonly kind: "failed"; readonly error: LinkError }
  | { readonly kind: "end"; readonly end: CarrierEnd }
  | ({ readonly kind: "status" } & LinkStatus)
  | { readonly kind: "stopped" };

export interface LinkStatus {
  readonly pid: number;
  readonly hub: string;
  readonly version: string;
  /** Commands that use it now. */
  readonly commands: number;
  readonly ageSeconds: number;
  /** Until it ends by itself; absent while it is used. */
  readonly endsInSeconds?: number;
}

export interface LinkError {
  readonly code: string;
  readonly message: string;
  readonly field?: string | undefined;
}

export function toLinkError(thrown: unknown): LinkError {
  const { code, message, field } = toAppError(thrown);
  return { code, message, ...(field === undefined ? {} : { field }) };
}

export function fromLinkError({ code, message, field }: LinkError): AppError {
  return new AppError(code, message, field === undefined ? {} : { field });
}

/**
 * Both ends are the same file, which the socket's name vouches for, and nobody but its user reaches it: what is looked at is the kind, so
 * that anything else is an end and no fault.
 */
export function toAsked(words: unknown): Asked | undefined {
  return isOf<Asked>(words, ["use", "call", "join", "status", "stop"]) ? words : undefined;
}

export function toTold(words: unknown): Told | undefined {
  const kinds = ["used", "answer", "waiting", "joined", "failed", "end", "status", "stopped"] as const;
  if (!isOf<Told>(words, kinds)) return undefined;
  return words.kind === "end" && !CARRIER_END_REASONS.includes(words.end.reason) ? undefined : words;
}

function isOf<Words extends { readonly kind: string }>(
  words: unknown,
  kinds: readonly Words["kind"][],
): words is Words {
  if (typeof words !== "object" || words === null || !("kind" in words)) return false;
  const { kind } = words;
  return kinds.some((known) => known === kind);
}
