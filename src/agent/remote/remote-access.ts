import type { Clock } from "../../base/clock.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Service } from "../../base/service.ts";
import { createTurns } from "../../base/turns.ts";
import type { AgentStatus } from "../../contract/local-status.ts";
import { remoteWhyArgsSchema } from "../../contract/remote/box-why.ts";
import type { DetachedEnd } from "../../contract/remote/detached-end.ts";
import { describeMasked } from "../../contract/remote/mask-operation.ts";
import { type RemoteOffer, remoteOfferSchema } from "../../contract/remote/offer.ts";
import { fingerprintOf } from "../../contract/remote/remote-key.ts";
import { type RemoteAbility, type RemotePolicy, remoteAbilities } from "../../contract/remote/remote-policy.ts";
import type { RemoteBook } from "../registry/remote-book.ts";
import type { BoxFacts } from "./box-facts.ts";
import { createDetachedEnds } from "./detached-ends.ts";
import type { Holder, Holders } from "./holders.ts";
import { isOperatorAllowed, judgeOffer } from "./judge-offer.ts";

export interface RemoteAccessDeps {
  readonly policy: RemotePolicy;
  readonly box: BoxFacts;
  readonly holders: Holders;
  readonly book: RemoteBook;
  readonly bootId: string;
  readonly boxId: string;
  /** Public part of the key by which operators know this box; absent: it could not be had. */
  readonly key: string | undefined;
  readonly log: Log;
  readonly clock: Clock;
  /** PEM of what this box trusts beside the system's. */
  readonly ca: () => string | undefined;
}

/** Remote sessions as the agent sees them: it judges and hands over, and holds none itself. */
export interface RemoteAccess extends Service {
  /**
   * The command `remote`. Resolves with what to tell when a holder has the session. Rejects with one sentence: `invalid`,
   * `refused`, `unsupported`, `not-found`, `conflict` (the session is lost), `unavailable`, `exhausted`.
   */
  offer(args: Readonly<Record<string, unknown>>): Promise<string>;
  /**
   * The command `remote-why`: resolves with how a session stands here, as JSON (`contract/remote/box-why.ts`). Rejects with `invalid`,
   * `not-found`, `unavailable`, `timeout`.
   */
  why(args: Readonly<Record<string, unknown>>): Promise<string>;
  /** How commands ended that go on without their operators, as far as it is known; for the hub. */
  ends(): readonly DetachedEnd[];
  /** Called where `ends` has grown. */
  onEnd(listener: () => void): void;
  readonly abilities: readonly RemoteAbility[];
  readonly key: string | undefined;
  status(): NonNullable<AgentStatus["remote"]>;
}

/** So long may the hub believe that a command goes on which has ended. */
const LOOK_MS = 2000;

export function createRemoteAccess(deps: RemoteAccessDeps): RemoteAccess {
  const { policy, holders, book, bootId, boxId, log, clock } = deps;
  const abilities = remoteAbilities(policy);
  const detachedEnds = createDetachedEnds({ book, holders, bootId, clock });
  let tellEnd = () => {};

  const holderOf = async (session: string): Promise<Holder | undefined> =>
    (await holders.living()).find(({ status }) => status.sessions.some((held) => held.session === session));

  const resume = async (offer: RemoteOffer, grant: Awaited<ReturnType<typeof judgeOffer>>) => {
    const began = book.get(offer.session);
    if (began !== undefined && began.bootId !== bootId) {
      throw new AppError("conflict", "lost: the box was restarted after this session had begun");
    }
    const holder = await holderOf(offer.session);
    if (holder === undefined) {
      throw new AppError("conflict", "lost: the session was begun before, and what held it has ended");
    }
    const { text } = await holder.call({
      call: "offer",
      offer,
      grant,
      box: boxId,
      isKnown: true,
      ...withCa(deps.ca()),
    });
    return text ?? "";
  };

  const begin = async (offer: RemoteOffer, grant: Awaited<ReturnType<typeof judgeOffer>>) => {
    // Before anything starts: an agent that is killed in between must not begin it again. The holder joins while the disk is waited for.
    const isDetached = grant.kind === "command" && grant.detach;
    const recorded = book.begin({ session: offer.session, bootId, ...(isDetached ? { isDetached } : {}) });
    try {
      const call = { call: "offer", offer, grant, box: boxId, isKnown: false, ...withCa(deps.ca()) } as const;
      if (grant.kind !== "attach") return (await holders.callOwn({ ...call, isRecorded: false }, recorded)).text ?? "";
      // What it is attached to may be held by an earlier release, which waits for no line.
      await recorded;
      const holder = await holderOf(grant.session);
      if (holder === undefined) {
        throw new AppError("not-found", `attach: given ${grant.session}; this box holds no such command`);
      }
      return (await holder.call(call)).text ?? "";
    } catch (thrown) {
      // What a holder refuses it has not begun; whether one that did not answer has is not known.
      if (!(thrown instanceof AppError && (thrown.code === "unavailable" || thrown.code === "timeout"))) {
        book.forget(offer.session);
      }
      throw thrown;
    }
  };

  /** One offer of a session at a time: a repeated one finds what the first has begun. */
  const inTurn = createTurns();

  return {
    name: "remote access",
    abilities,
    key: deps.key,
    ends: detachedEnds.list,
    onEnd: (listener) => {
      tellEnd = listener;
    },
    status: () => ({
      allows: [...abilities],
      ...(deps.key === undefined ? {} : { fingerprint: fingerprintOf(deps.key) }),
    }),
    offer: async (args) => {
      const parsed = remoteOfferSchema.safeParse(args);
      if (!parsed.success) {
        const [issue] = parsed.error.issues;
        throw new AppError("invalid", `${issue?.path.join(".") ?? "offer"}: ${issue?.message ?? "it cannot be read"}`);
      }
      const offer = parsed.data;
      const what = `${offer.operator}: ${describeMasked(offer.operation)} (remote session ${offer.session}, attempt ${offer.attempt})`;
      try {
        const grant = await judgeOffer(offer, policy, deps.box);
        const text = await inTurn(offer.session, () =>
          book.get(offer.session) === undefined ? begin(offer, grant) : resume(offer, grant),
        );
        log.info(`${what}: ${text}`);
        return text;
      } catch (thrown) {
        log.warn(`${what}: ${messageOf(thrown)}`);
        throw thrown;
      }
    },
    why: async (args) => {
      const parsed = remoteWhyArgsSchema.safeParse(args);
      if (!parsed.success) throw new AppError("invalid", "session: it is missing, or no id of a session");
      const { session } = parsed.data;
      const holder = await holderOf(session);
      if (holder === undefined) throw new AppError("not-found", `this box holds no session ${session}`);
      return JSON.stringify((await holder.call({ call: "why", session })).why);
    },
    run: async (signal) => {
      await holders.drainOthers();
      // What was allowed yesterday need not be today: sessions of operators who may no more are ended.
      for (const holder of await holders.living()) {
        for (const { session, operator } of holder.status.sessions) {
          if (isOperatorAllowed(operator, policy) && abilities.length > 0) continue;
          const reason = `the box's policy allows ${operator} no more`;
          await holder
            .call({ call: "end", session, reason })
            .catch((thrown: unknown) => log.warn(`Remote session ${session} does not end: ${messageOf(thrown)}`));
        }
      }
      while (!signal.aborted) {
        if (await detachedEnds.look()) tellEnd();
        await clock.delay(LOOK_MS, signal).catch(() => undefined);
      }
      await book.settle();
    },
  };
}

function withCa(ca: string | undefined): { ca?: string } {
  return ca === undefined ? {} : { ca };
}
