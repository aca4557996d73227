import { type KeyObject, randomUUID } from "node:crypto";
import type { Timer } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { toAppError } from "../contract/error-code.ts";
import type { BoxWhy } from "../contract/remote/box-why.ts";
import { takesEarlyProof } from "../contract/remote/early-proof.ts";
import type { HeldSessionView } from "../contract/remote/holder-call.ts";
import { describeMasked } from "../contract/remote/mask-operation.ts";
import type { RemoteOffer, RemoteProof } from "../contract/remote/offer.ts";
import type { RemoteOperation } from "../contract/remote/operation.ts";
import type { RemoteGrant } from "../contract/remote/remote-grant.ts";
import type { Carrier, CarrierEnd } from "../remote/carrier.ts";
import type { Channel } from "../remote/channel.ts";
import type { KilledByName } from "../remote/exit-facts.ts";
import type { OpenWhat } from "../remote/open-what.ts";
import { awaitProof } from "../remote/proven-carrier.ts";
import type { WindowLedger } from "../remote/receive-window.ts";
import { createRemoteSession } from "../remote/remote-session.ts";
import type { RouterDialler, Traffic } from "../remote/router-dialler.ts";
import type { AuditLog } from "./audit-log.ts";
import { judgeTicket } from "./judge-ticket.ts";
import { type KeptFacts, lookIntoSession, type SessionWhyDeps } from "./session-why.ts";

/** One remote session on this box: it joins whenever it is offered, and lives until its operator, a limit or somebody who may ends it. */
export interface HeldSession {
  readonly id: string;
  readonly operator: string;
  /** Joins with this offer's ticket; an earlier carrier gives way. */
  join(offer: ProvableOffer): void;
  end(by: KilledByName, reason: string): void;
  view(): HeldSessionView;
  /** How it stands, after a moment of looking on. Never rejects. */
  why(): Promise<BoxWhy>;
  /** Nothing of it is left here. */
  readonly over: Promise<void>;
}

/** What a session opens. */
export interface ChannelKeeper {
  /** Takes a channel, and refuses what was not granted. */
  take(channel: Channel, what: OpenWhat): void;
  /** Of the first command. */
  readonly pid: number | undefined;
  /** For whoever looks for what holds it up. */
  facts(): KeptFacts;
  /** Ends what must not go on without a session. Resolves when it has ended and its operator, if there, had the time to hear it. */
  end(by: KilledByName): Promise<void>;
}

export interface HeldSessionDeps extends SessionWhyDeps {
  readonly log: Log;
  readonly audit: AuditLog;
  readonly dialler: Pick<RouterDialler, "join">;
  readonly ledger: WindowLedger;
  readonly program: string;
  /** By what operators know this box. Throws `storage`. */
  readonly boxKey: () => KeyObject;
  readonly keeperOf: (session: string, operator: string, grant: RemoteGrant) => ChannelKeeper;
}

/** A ticket is good for about as long. */
const JOIN_MS = 60_000;
const RETRY_MS = 1000;
/** From a session's end until its operator has taken what is still on its way. */
const LINGER_MS = 5000;

/** An offer that says by what the operator is known. */
export type ProvableOffer = RemoteOffer & { readonly proof: RemoteProof };

export function createHeldSession(
  { offer: first, grant, box }: { readonly offer: ProvableOffer; readonly grant: RemoteGrant; readonly box: string },
  deps: HeldSessionDeps,
): HeldSession {
  const { clock, log, audit } = deps;
  const { session: id, operator, limits } = first;
  const session = createRemoteSession(
    { side: "box", program: deps.program },
    { clock, newId: randomUUID, ledger: deps.ledger },
  );
  const keeper = deps.keeperOf(id, operator, grant);
  const startedMs = clock.monotonicMs();
  const since = new Date(clock.wallMs()).toISOString();
  const over = Promise.withResolvers<void>();
  let state: HeldSessionView["state"] = "joining";
  let joining: AbortController | undefined;
  let resume: Timer | undefined;
  let limitTimer: Timer | undefined;
  let ending: Promise<void> | undefined;
  let reason = "";
  let isOpened = false;
  /** Tickets that operators have shown. */
  const spent = new Set<string>();

  session.onChannel((channel, what) => {
    isOpened = true;
    keeper.take(channel, what);
  });

  const finish = (by: KilledByName, why: string, problem?: AppError) => {
    ending ??= (async () => {
      reason = why;
      resume?.clear();
      limitTimer?.clear();
      await keeper.end(by);
      session.close(problem);
      const late = clock.timer(LINGER_MS, () => joining?.abort(new AppError("cancelled", why)));
      await session.closed;
      late.clear();
      joining?.abort(new AppError("cancelled", why));
      state = "ended";
      const { sentBytes, receivedBytes } = session.stats();
      audit.note({
        event: "end",
        session: id,
        reason,
        bytesToBox: receivedBytes,
        bytesFromBox: sentBytes,
        seconds: Math.round((clock.monotonicMs() - startedMs) / 1000),
      });
      log.info(`Remote session ${id} of ${operator} has ended: ${reason}`);
      over.resolve();
    })();
  };
  void session.closed.then(({ message }) => finish("disconnect", message));

  /** Its operator is gone, and may come back until then. */
  const broken = (why: string) => {
    if (ending !== undefined) return;
    state = "broken";
    reason = why;
    resume?.clear();
    resume = clock.timer(limits.resumeSeconds * 1000, () => {
      const text = `its operator did not come back within ${limits.resumeSeconds} s (${why})`;
      finish("disconnect", text, new AppError("unavailable", text));
    });
  };

  const noteRefusal = (why: string) =>
    audit.note({ event: "refuse", session: id, operator, operation: describeMasked(first.operation), reason: why });

  const onEnd = ({ reason: kind, message }: CarrierEnd) => {
    switch (kind) {
      case "replaced":
        return;
      case "idle":
        return finish("idle", message, new AppError("timeout", message));
      case "max-age":
        return finish("max-age", message, new AppError("timeout", message));
      case "terminated":
        return finish("terminated", message, new AppError("cancelled", message));
      case "refused":
        noteRefusal(message);
        return isOpened ? broken(message) : finish("disconnect", message, new AppError("refused", message));
      case "tampered":
        noteRefusal(message);
        return finish("disconnect", message, new AppError("conflict", message));
      case "rendezvous-timeout":
        return isOpened ? broken(message) : finish("disconnect", message, new AppError("timeout", message));
      default:
        return broken(message);
    }
  };

  const dialUntilJoined = async ({ router, ticket, operation, proof }: ProvableOffer, signal: AbortSignal) => {
    const traffic = trafficOf(operation);
    const untilMs = clock.monotonicMs() + JOIN_MS;
    for (let isFirst = true; ; isFirst = false) {
      try {
        return await deps.dialler.join({ router, ticket, traffic, isSealed: proof.seal }, {}, signal);
      } catch (thrown) {
        const code = thrown instanceof AppError ? thrown.code : undefined;
        // A call that broke off may have spent the ticket: its operator then asks for another.
        const isAway = code === "unavailable" || (code === "unauthorized" && !isFirst);
        if (!isAway || signal.aborted || clock.monotonicMs() + RETRY_MS >= untilMs) throw thrown;
        await clock.delay(RETRY_MS, signal);
      }
    }
  };

  /** Nothing of the session passes before the operator has proved, on this very carrier, to be the one whom the hub let in. */
  const prove = (carrier: Carrier, offer: ProvableOffer, heardMs: number, signal: AbortSignal): Promise<Carrier> => {
    const { attempt, proof } = offer;
    const judge = (ticket: string): string => {
      const nowSeconds = proof.issuedAt + Math.floor((clock.monotonicMs() - heardMs) / 1000);
      const proven = judgeTicket(ticket, { offer, proof, box, nowSeconds, spent });
      spent.add(proven.id);
      return proven.operatorKey;
    };
    const { operation } = offer;
    const takesEarly = attempt === 1 && takesEarlyProof(operation, { isSealed: proof.seal });
    const task = { session: id, box, attempt, isSealed: proof.seal, boxKey: deps.boxKey(), takesEarly };
    return awaitProof(carrier, task, judge, { clock }, signal);
  };

  const run = async (offer: ProvableOffer, stop: AbortController) => {
    const heardMs = clock.monotonicMs();
    try {
      const joined = await dialUntilJoined(offer, stop.signal);
      const carrier = await prove(joined, offer, heardMs, stop.signal);
      if (stop.signal.aborted) return carrier.cut();
      const ended = session.carry(carrier);
      state = "open";
      resume?.clear();
      onEnd(await ended);
    } catch (thrown) {
      if (stop.signal.aborted || ending !== undefined) return;
      const error = toAppError(thrown);
      log.warn(`Remote session ${id}: ${messageOf(error)}`);
      if (error.code === "conflict" || error.code === "version" || !isOpened)
        finish("disconnect", error.message, error);
      else broken(error.message);
    }
  };

  const watchLimits = () => {
    const nowMs = clock.monotonicMs();
    const idleLeftMs = session.lastActivityMs + limits.idleSeconds * 1000 - nowMs;
    const ageLeftMs = startedMs + limits.maxSeconds * 1000 - nowMs;
    if (ageLeftMs <= 0) {
      const text = `the session has lasted as long as it may (${limits.maxSeconds} s)`;
      return finish("max-age", text, new AppError("timeout", text));
    }
    if (idleLeftMs <= 0) {
      const text = `nothing has moved in the session for ${limits.idleSeconds} s`;
      return finish("idle", text, new AppError("timeout", text));
    }
    limitTimer = clock.timer(Math.min(idleLeftMs, ageLeftMs), watchLimits);
  };
  watchLimits();

  return {
    id,
    operator,
    over: over.promise,
    join: (offer) => {
      if (ending !== undefined) return;
      joining?.abort(new AppError("cancelled", "a newer offer came"));
      joining = new AbortController();
      const stop = joining;
      resume?.clear();
      void run(offer, stop);
    },
    end: (by, why) => finish(by, why, new AppError("cancelled", why)),
    why: () =>
      lookIntoSession(
        { state, ...(state === "broken" ? { reason } : {}) },
        { session, kept: () => keeper.facts() },
        deps,
      ),
    view: () => ({
      session: id,
      operator,
      operation: describeMasked(first.operation),
      state,
      since,
      ...(keeper.pid === undefined ? {} : { pid: keeper.pid }),
    }),
  };
}

function trafficOf(operation: RemoteOperation): Traffic {
  switch (operation.kind) {
    case "shell":
    case "attach":
      return "interactive";
    case "exec":
      return operation.pty ? "interactive" : "bulk";
    case "forward":
    case "session":
    case "rsync":
      return "piped";
  }
}
