import { z } from "zod";
import { REMOTE_STATES, type RemoteView } from "../../contract/fleet/remote.ts";
import { remoteLimitsSchema } from "../../contract/remote/offer.ts";
import { describeOperation, type RemoteOperation, remoteOperationSchema } from "../../contract/remote/operation.ts";
import { isoOf } from "../fleet/write-of.ts";
import type { StoredObject } from "../store/objects.ts";

/** Sessions that are not over. */
export const REMOTE_KIND = "remote";
/** Those that are, for a while. One that is here is over, whatever is left of it in the other kind. */
export const REMOTE_PAST_KIND = "remote-past";

const recordSchema = z.object({
  box: z.string(),
  /** Whose it is: the token, and its name for people. */
  tokenId: z.string(),
  operator: z.string(),
  operation: remoteOperationSchema,
  state: z.enum(REMOTE_STATES),
  reason: z.string(),
  /** Wall time of that state. */
  sinceMs: z.number(),
  router: z.string(),
  attempt: z.int(),
  /** Wall time of the last attempt. */
  askedMs: z.number(),
  /** Names the call that asked for it: a repeated one is told from the first. */
  nonce: z.string(),
  limits: remoteLimitsSchema,
  /** The two ends seal what they say. */
  seal: z.boolean().default(false),
  /** Of pairs that are parted. */
  bytesToBox: z.int(),
  bytesFromBox: z.int(),
  /** Of the pair that is together now, as it was last told. */
  pairToBox: z.int(),
  pairFromBox: z.int(),
  createdMs: z.number(),
  endedMs: z.number().optional(),
});
export type RemoteRecord = z.output<typeof recordSchema>;

export interface Remote extends RemoteRecord {
  readonly id: string;
  readonly revision: number;
}

/** `undefined` for what no version of this program wrote. */
export function toRemote({ id, revision, body }: StoredObject): Remote | undefined {
  const parsed = recordSchema.safeParse(body);
  return parsed.success ? { ...parsed.data, id, revision } : undefined;
}

export function recordOf({ id: _id, revision: _revision, ...record }: Remote): RemoteRecord {
  return record;
}

export function remoteView(remote: Remote): RemoteView {
  const { id, box, operator, operation, state, reason, router, attempt, createdMs, endedMs } = remote;
  return {
    id,
    box,
    operator,
    operation,
    state,
    reason,
    router,
    attempt,
    createdAt: isoOf(createdMs),
    ...(endedMs === undefined ? {} : { endedAt: isoOf(endedMs) }),
    bytesToBox: remote.bytesToBox + remote.pairToBox,
    bytesFromBox: remote.bytesFromBox + remote.pairFromBox,
  };
}

/** For the audit log and for people. */
export function describeRemote({ id, box, operation }: Pick<Remote, "id" | "box" | "operation">): string {
  return `${id} on ${box}: ${describeOperation(operation)}`;
}

export function subjectOf({ id, box }: Pick<Remote, "id" | "box">): string {
  return `box/${box}/remote/${id}`;
}

/** It goes on without its operator. */
export function isDetached({ operation }: Pick<Remote, "operation">): boolean {
  return operation.kind === "exec" && operation.detach;
}

const ID_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz";
const TIME_DIGITS = 7;
const CHANCE_DIGITS = 6;
const MAX_SECONDS = 2 ** 32 - 1;

/** Thirteen letters and digits. A later one sorts before an earlier one, so that lists begin with the newest. */
export function newRemoteId(nowMs: number, secret: string): string {
  const left = Math.max(0, MAX_SECONDS - Math.floor(nowMs / 1000));
  const digits: string[] = [];
  for (let rest = left, index = 0; index < TIME_DIGITS; index++, rest = Math.floor(rest / ID_DIGITS.length)) {
    digits.unshift(ID_DIGITS[rest % ID_DIGITS.length] ?? "0");
  }
  const chance = [...Buffer.from(secret).subarray(0, CHANCE_DIGITS)];
  return digits.join("") + chance.map((byte) => ID_DIGITS[byte % ID_DIGITS.length] ?? "0").join("");
}

const PAST_ARGUMENTS = 32;
const PAST_CHARACTERS = 200;

/** What is kept of a session that is over is bounded, whatever its arguments were. Pure. */
export function shortened(operation: RemoteOperation): RemoteOperation {
  if (operation.kind !== "exec" && operation.kind !== "rsync") return operation;
  const { argv } = operation;
  const kept = argv.slice(0, PAST_ARGUMENTS).map((text) => shortText(text));
  return { ...operation, argv: argv.length > PAST_ARGUMENTS ? [...kept, `… ${argv.length} in all`] : kept };
}

function shortText(text: string): string {
  return text.length <= PAST_CHARACTERS ? text : `${text.slice(0, PAST_CHARACTERS)}…`;
}
