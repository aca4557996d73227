import type { z } from "zod";
import { AppError } from "../../base/errors.ts";
import type { RemoteAdmission, remoteCreateSchema } from "../../contract/fleet/remote.ts";
import { takesEarlyProof } from "../../contract/remote/early-proof.ts";
import { REMOTE_COMMAND, type RemoteOffer, type RouterAddress } from "../../contract/remote/offer.ts";
import { operationDigest } from "../../contract/remote/operation-digest.ts";
import { signTicket, type TicketClaims } from "../../contract/remote/ticket.ts";
import { findBox } from "../find-box.ts";
import { isoOf, writeOf } from "../fleet/write-of.ts";
import type { Call, Caller } from "../http/route.ts";
import type { HubContext } from "../hub-context.ts";
import type { Presence } from "../life/presence.ts";
import type { Box } from "../store/box.ts";
import { type BoxProof, boxProofOf } from "./box-proof.ts";
import { RENDEZVOUS_SECONDS } from "./decide-remote.ts";
import type { RemoteBook } from "./remote-book.ts";
import type { RemoteOptions } from "./remote-options.ts";
import {
  describeRemote,
  isDetached,
  newRemoteId,
  REMOTE_KIND,
  type Remote,
  type RemoteRecord,
  recordOf,
  subjectOf,
} from "./remote-record.ts";
import type { RouterBook } from "./router-book.ts";
import type { TicketKeys } from "./ticket-keys.ts";

export type Operator = Extract<Caller, { readonly kind: "operator" }>;

/** What a call says of who asks and how. */
export type AskedBy = Pick<Call, "request" | "address" | "origin"> & { readonly caller: Operator };

/** Lets people into sessions: what they may, a ticket for each end, and word to the box. */
export interface RemoteAdmissions {
  /**
   * `refused` (switched off, or another's session to attach to), `unsupported` (the box's agent, or this hub has no key), `not-found`,
   * `conflict`, `exhausted`, `unavailable` (no router, or the box was never heard), `version` (who asks has no key).
   */
  create(boxId: string, wish: z.output<typeof remoteCreateSchema>, by: AskedBy): Promise<RemoteAdmission>;
  /** Both ends are to join again, the operator's with this key. `conflict`: it is over; `refused`: it is another's. */
  rejoin(id: string, key: string | undefined, by: AskedBy): Promise<RemoteAdmission>;
  /** Offers a session that is over once more, so that a box which holds it without a router hears that. Never rejects. */
  recall(remote: Remote): Promise<void>;
  /** Sessions that were admitted since the start, and those that were not. */
  counts(): Readonly<Record<"admitted" | "resumed" | "refused", number>>;
}

export interface RemoteAdmissionDeps {
  readonly context: HubContext;
  readonly options: RemoteOptions;
  readonly book: RemoteBook;
  readonly keys: TicketKeys;
  readonly routers: RouterBook;
  readonly presence: Pick<Presence, "of">;
  /** Who sends the box its commands at once; `undefined`: nobody does for certain. */
  readonly takerOf: (boxId: string) => string | undefined;
}

/** The box may hear of it late in the time that both ends have to meet, and needs a moment to come. */
const TICKET_SECONDS = RENDEZVOUS_SECONDS + 30;
const DETAIL_CHARACTERS = 1000;

export function createRemoteAdmissions(deps: RemoteAdmissionDeps): RemoteAdmissions {
  const { context, options, book, keys, routers, presence, takerOf } = deps;
  const { store, clock, log, newSecret } = context;
  const counts = { admitted: 0, resumed: 0, refused: 0 };
  const requireEnabled = () => {
    if (!options.enabled)
      throw new AppError("refused", "remote sessions are switched off on this hub (remote.enabled)");
  };

  const requireAttachable = async (boxId: string, wish: z.output<typeof remoteCreateSchema>, caller: Operator) => {
    if (wish.operation.kind !== "attach") return;
    const field = "operation.session";
    const target = await book.get(wish.operation.session);
    if (target.box !== boxId) {
      throw new AppError("conflict", `${field}: session ${target.id} is on box ${target.box}, not on ${boxId}`, {
        field,
      });
    }
    if (!isDetached(target)) {
      throw new AppError("conflict", `${field}: session ${target.id} is no command that was detached`, { field });
    }
    requireOwner(target, caller);
  };

  const ticketOf = (remote: OfferFacts, whose: Side, router: RouterAddress, key: SigningKey) => {
    const nowMs = clock.wallMs();
    const iat = Math.floor(nowMs / 1000);
    const { limits } = remote;
    const leftSeconds = Math.max(1, Math.ceil(limits.maxSeconds - (nowMs - remote.createdMs) / 1000));
    const claims: TicketClaims = {
      sid: remote.id,
      side: whose.side,
      box: remote.box,
      sub: remote.operator,
      op: remote.operation.kind,
      aud: router.id,
      iat,
      exp: iat + TICKET_SECONDS,
      att: remote.attempt,
      ...(whose.side === "box" ? {} : { opk: whose.key, oph: operationDigest(remote.operation), seal: remote.seal }),
      jti: newSecret().slice(0, 32),
      idle: limits.idleSeconds,
      max: leftSeconds,
    };
    return { ticket: signTicket(claims, key), expiresMs: claims.exp * 1000 };
  };

  /** The box hears it through its event stream. */
  const offer = async (remote: OfferFacts, router: RouterAddress, { key, commandId }: OfferMeans): Promise<unknown> => {
    const { ticket } = ticketOf(remote, { side: "box" }, router, key);
    const { id: session, attempt, operator, operation, limits, seal } = remote;
    const nowMs = clock.wallMs();
    const proof = { keys: [...(await keys.list())], issuedAt: Math.floor(nowMs / 1000), seal };
    const args: RemoteOffer = { session, ticket, router, attempt, operator, operation, limits, proof };
    const deadlineMs = nowMs + RENDEZVOUS_SECONDS * 1000;
    return store.commands.create(
      remote.box,
      { id: commandId ?? offerId(session, attempt), name: REMOTE_COMMAND, args, deadlineMs, key: `remote/${session}` },
      { nowMs, taker: takerOf(remote.box) },
    );
  };

  const warningOf = (box: Box): { readonly warning?: string } => {
    const wait = `the session waits for it for up to ${RENDEZVOUS_SECONDS} s`;
    if (box.quarantine !== undefined) {
      return { warning: `box ${box.id} is in quarantine and hears nothing until it is released; ${wait}` };
    }
    const { connection, lastContactMs } = presence.of(box.id);
    if (connection !== "offline") return {};
    const since = lastContactMs === undefined ? "" : ` since ${isoOf(lastContactMs)}`;
    return { warning: `box ${box.id} is offline${since}; ${wait}` };
  };

  const admission = (remote: Remote, router: RouterAddress, means: AdmissionMeans): RemoteAdmission => {
    const { signingKey, operatorKey, boxProof, box } = means;
    const { ticket, expiresMs } = ticketOf(remote, { side: "operator", key: operatorKey }, router, signingKey);
    const { id, attempt, limits, operation, seal: isSealed } = remote;
    const expiresAt = isoOf(expiresMs);
    const isEarly = boxProof.takesEarly && attempt === 1 && takesEarlyProof(operation, { isSealed });
    return {
      ...{ id, box: box.id, ticket, router, expiresAt, attempt, limits, boxKey: boxProof.key },
      ...(isEarly ? { takesEarlyProof: true } : {}),
      ...warningOf(box),
    };
  };

  const failed = async (remote: Remote, thrown: unknown) => {
    const reason = thrown instanceof AppError ? thrown.message : "the box could not be told";
    await book.end(remote.id, () => ({ reason, audit: { actor: "hub", action: "remote.end" } }));
  };

  const noteRefusal = async (
    by: AskedBy,
    what: { readonly action: string; readonly subject: string },
    thrown: unknown,
  ) => {
    counts.refused++;
    if (!(thrown instanceof AppError) || thrown.code === "store-unavailable") return;
    const audit = {
      actor: `operator:${by.caller.tokenId}`,
      ...what,
      outcome: "refused" as const,
      address: by.address,
      detail: thrown.message.slice(0, DETAIL_CHARACTERS),
    };
    await store.audit.append(audit, clock.wallMs()).catch(() => undefined);
  };

  const create = async (boxId: string, wish: z.output<typeof remoteCreateSchema>, by: AskedBy) => {
    requireEnabled();
    const operatorKey = requireKey(wish.key);
    const { caller, request, origin } = by;
    const box = await findBox(boxId, { field: "box", isNew: false }, store);
    const [signingKey, boxProof] = await Promise.all([
      keys.signing(),
      boxProofOf(boxId, store),
      requireAttachable(boxId, wish, caller),
    ]);
    const means: AdmissionMeans = { signingKey, operatorKey, boxProof, box };
    const router = routers.choose(origin);
    const nowMs = clock.wallMs();
    const nonce = newSecret().slice(0, 16);
    const record = newRecord(boxId, wish, { caller, options, nowMs, router: router.box.id, nonce });
    const fresh = { ...record, id: newRemoteId(nowMs, newSecret()) };
    const write = writeOf(by, clock, {
      action: "remote.create",
      subject: subjectOf(fresh),
      detail: describeRemote(fresh).slice(0, DETAIL_CHARACTERS),
      event: {
        kind: "remote.requested",
        boxId,
        text: `${caller.name} asked for a remote session on ${boxId} (${wish.operation.kind})`,
        data: { id: fresh.id, operator: caller.name, operation: wish.operation.kind },
      },
    });
    const limits = { perUser: options.perUser, total: options.total };
    const isRepeated =
      request !== undefined && (await store.objects.isRepeated(REMOTE_KIND, { id: request.id, nowMs }));
    const writing = book.create(fresh.id, record, { context: { ...write, nowMs }, limits });
    // Written together, so that the box hears of it after one wait for the disk. A repeated request waits for the answer, since the
    // first has told the box. Where both came at once the box hears of a session that nobody comes to.
    const offering = isRepeated ? undefined : offer(fresh, router.box, { key: signingKey });
    const [written, offered] = await Promise.allSettled([writing, offering]);
    if (written.status === "rejected") throw written.reason;
    const remote = written.value;
    if (remote.nonce !== nonce) {
      if (remote.state === "ended") throw isOver(remote);
      return admission(remote, router.operator, means);
    }
    try {
      if (offered.status === "rejected") throw offered.reason;
      if (offering === undefined) await offer(remote, router.box, { key: signingKey });
    } catch (thrown) {
      await failed(remote, thrown);
      throw thrown;
    }
    counts.admitted++;
    // The box has the longer way to the router: it is told before the operator's ticket is made.
    await new Promise((resolve) => setImmediate(resolve));
    return admission(remote, router.operator, means);
  };

  const rejoin = async (id: string, key: string | undefined, by: AskedBy) => {
    requireEnabled();
    const operatorKey = requireKey(key);
    const held = await book.get(id);
    requireOwner(held, by.caller);
    if (held.state === "ended") throw isOver(held);
    const [box, signingKey, boxProof] = await Promise.all([
      findBox(held.box, { field: "box", isNew: false }, store),
      keys.signing(),
      boxProofOf(held.box, store),
    ]);
    const means: AdmissionMeans = { signingKey, operatorKey, boxProof, box };
    const router = routers.choose(by.origin, held.router);
    const nonce = newSecret().slice(0, 16);
    const remote = await book.change(id, (current) => {
      const attempt = current.attempt + 1;
      const write = writeOf(by, clock, {
        action: "remote.rejoin",
        subject: subjectOf(current),
        detail: `attempt ${attempt} (${describeRemote(current)})`.slice(0, DETAIL_CHARACTERS),
      });
      const nowMs = clock.wallMs();
      const record: RemoteRecord = {
        ...recordOf(current),
        state: "waiting",
        reason: "both ends are to join again",
        sinceMs: nowMs,
        askedMs: nowMs,
        attempt,
        nonce,
        router: router.box.id,
      };
      return { record, context: write };
    });
    if (remote === undefined) throw isOver(await book.get(id));
    // A repeated request gets another ticket for what the first has asked for.
    if (remote.nonce === nonce) await offer(remote, router.box, { key: signingKey });
    counts.resumed++;
    return admission(remote, router.operator, means);
  };

  return {
    create: (boxId, wish, by) =>
      create(boxId, wish, by).catch(async (thrown: unknown) => {
        await noteRefusal(by, { action: "remote.create", subject: `box/${boxId}` }, thrown);
        throw thrown;
      }),
    rejoin: (id, key, by) =>
      rejoin(id, key, by).catch(async (thrown: unknown) => {
        await noteRefusal(by, { action: "remote.rejoin", subject: `remote/${id}` }, thrown);
        throw thrown;
      }),
    recall: async (remote) => {
      try {
        const router = routers.choose("http://localhost").box;
        const again = { ...remote, attempt: remote.attempt + 1 };
        await offer(again, router, { key: await keys.signing(), commandId: recallId(remote.id) });
      } catch (thrown) {
        log.debug(`Box ${remote.box} cannot be told that session ${remote.id} is over: ${String(thrown)}`);
      }
    },
    counts: () => ({ ...counts }),
  };
}

type SigningKey = Awaited<ReturnType<TicketKeys["signing"]>>;
type OfferFacts = Pick<Remote, "id" | "box" | "operator" | "operation" | "limits" | "createdMs" | "attempt" | "seal">;
type Side = { readonly side: "box" } | { readonly side: "operator"; readonly key: string };

interface AdmissionMeans {
  readonly signingKey: SigningKey;
  readonly operatorKey: string;
  readonly boxProof: BoxProof;
  readonly box: Box;
}

interface OfferMeans {
  readonly key: SigningKey;
  /** Absent: that of the attempt. */
  readonly commandId?: string;
}

export function offerId(sessionId: string, attempt: number): string {
  return `remote-${sessionId}-${attempt}`;
}

function recallId(sessionId: string): string {
  return `remote-${sessionId}-end`;
}

/** The session and the attempt that a command offered; `undefined`: it was another command. */
export function parseOfferId(commandId: string): { readonly id: string; readonly attempt: number } | undefined {
  const [, id, attempt] = /^remote-([0-9a-z]{1,32})-(\d{1,9})$/.exec(commandId) ?? [];
  return id === undefined ? undefined : { id, attempt: Number(attempt) };
}

/** Whose it is, or an admin. */
export function requireOwner(remote: Pick<Remote, "id" | "tokenId" | "operator">, caller: Operator): void {
  if (remote.tokenId === caller.tokenId || caller.role === "admin") return;
  throw new AppError(
    "refused",
    `session ${remote.id} is ${remote.operator}'s: only they or an admin may join it; whoever may have sessions may end it`,
  );
}

function requireKey(key: string | undefined): string {
  if (key !== undefined) return key;
  throw new AppError(
    "version",
    "the request has no key, by which the box could know that it is you who comes: this sluice is older than its hub, upgrade it",
    { field: "key" },
  );
}

function isOver({ id, reason }: Remote): AppError {
  return new AppError("conflict", `remote session ${id} is over: ${reason}`);
}

function newRecord(
  boxId: string,
  { operation, idleSeconds, maxSeconds, seal }: z.output<typeof remoteCreateSchema>,
  by: {
    readonly caller: Operator;
    readonly options: RemoteOptions;
    readonly nowMs: number;
    readonly router: string;
    readonly nonce: string;
  },
): RemoteRecord {
  const { caller, options, nowMs, router, nonce } = by;
  return {
    box: boxId,
    tokenId: caller.tokenId,
    operator: caller.name,
    operation,
    state: "waiting",
    reason: "its ends are to join",
    sinceMs: nowMs,
    createdMs: nowMs,
    askedMs: nowMs,
    router,
    attempt: 1,
    nonce,
    limits: {
      idleSeconds: Math.min(idleSeconds ?? options.idleSeconds, options.idleSeconds),
      maxSeconds: Math.min(maxSeconds ?? options.maxSeconds, options.maxSeconds),
      resumeSeconds: options.resumeSeconds,
    },
    seal,
    bytesToBox: 0,
    bytesFromBox: 0,
    pairToBox: 0,
    pairFromBox: 0,
  };
}
