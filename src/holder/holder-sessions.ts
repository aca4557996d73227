import { AppError } from "../base/errors.ts";
import type { BoxWhy } from "../contract/remote/box-why.ts";
import { type DetachedEnd, MAX_DETACHED_ENDS } from "../contract/remote/detached-end.ts";
import type { HolderAnswer } from "../contract/remote/holder-call.ts";
import { describeMasked } from "../contract/remote/mask-operation.ts";
import type { RemoteOffer } from "../contract/remote/offer.ts";
import type { RemoteGrant } from "../contract/remote/remote-grant.ts";
import type { AuditLog } from "./audit-log.ts";
import { type ChannelKeeperDeps, createChannelKeeper } from "./channel-keeper.ts";
import type { HeldCommand } from "./held-command.ts";
import { createHeldSession, type HeldSession, type HeldSessionDeps, type ProvableOffer } from "./held-session.ts";
import { lookIntoDetached } from "./session-why.ts";

export interface OfferCall {
  readonly offer: RemoteOffer;
  readonly grant: RemoteGrant;
  /** Id of this box. */
  readonly box: string;
  readonly ca?: string | undefined;
  readonly isKnown: boolean;
}

export interface HolderSessionsDeps
  extends Omit<HeldSessionDeps, "keeperOf">,
    Omit<ChannelKeeperDeps, "onDetached" | "detachedOf"> {
  readonly audit: AuditLog;
  readonly version: string;
  readonly pid: number;
  /** What this box knows its hub by, as of the last offer: its routers are known by it too. PEM. */
  readonly trust: (ca: string | undefined) => void;
}

/** All remote sessions that this process holds, and the commands that go on without one. */
export interface HolderSessions {
  /**
   * Joins or begins at once; resolves when what it begins may start something: it is in the audit log on the disk, and `recorded` has resolved.
   * Rejects with `conflict` when it was begun before and is not here, `unavailable` while draining, `exhausted`, `storage`, and with what
   * `recorded` rejects with.
   */
  offer(call: OfferCall, recorded?: Promise<void>): Promise<string>;
  end(session: string, reason: string): string;
  /** How it stands, after a moment of looking on. Rejects with `not-found`. */
  why(session: string): Promise<BoxWhy>;
  drain(): void;
  status(): NonNullable<HolderAnswer["status"]>;
  /** Sessions and detached commands. */
  readonly size: number;
  /** Ends everything. */
  endAll(reason: string): Promise<void>;
  onChange(tell: () => void): void;
}

const MAX_SESSIONS = 256;
const MAX_DETACHED = 32;
/** How a detached command ended is kept for whoever comes to see. */
const KEEP_END_MS = 3_600_000;
const BEGIN_MS = 10_000;

interface Detached {
  readonly operator: string;
  readonly command: HeldCommand;
  readonly since: string;
  readonly operation: string;
}

function requireProvable(offer: RemoteOffer): ProvableOffer {
  const { proof } = offer;
  if (proof !== undefined) return { ...offer, proof };
  throw new AppError(
    "version",
    "the hub does not say by what the operator can be known, and this box lets in nobody without a proof: upgrade the hub",
  );
}

export function createHolderSessions(deps: HolderSessionsDeps): HolderSessions {
  const { clock, audit } = deps;
  const sessions = new Map<string, HeldSession>();
  const detached = new Map<string, Detached>();
  let isDraining = false;
  let tell = () => {};

  const ended: DetachedEnd[] = [];
  const noteEnd = (end: DetachedEnd) => {
    ended.push(end);
    if (ended.length > MAX_DETACHED_ENDS) ended.shift();
  };

  /** Detached commands of sessions that are not long over. */
  const begun = new Set<string>();

  const keepDetached = (id: string, operator: string, command: HeldCommand) => {
    begun.add(id);
    detached.set(id, {
      operator,
      command,
      since: new Date(clock.wallMs()).toISOString(),
      operation: sessions.get(id)?.view().operation ?? "",
    });
    const forget = () => {
      if (!detached.delete(id)) return;
      command.forget();
      tell();
    };
    void command.over.then(({ status: { code, signal } }) =>
      noteEnd({ session: id, ...(signal === null ? { code: code ?? 0 } : { signal }) }),
    );
    // Whoever has seen its end needs it no more; whoever has not finds it for a while.
    void command.over.then(() => {
      const timer = clock.timer(KEEP_END_MS, forget);
      void command.told.then(() => {
        timer.clear();
        forget();
      });
    });
  };

  const begin = ({ grant, box }: OfferCall, offer: ProvableOffer, recorded: Promise<void>): Promise<unknown> => {
    if (isDraining) throw new AppError("unavailable", "this holder takes no new session: a newer one does");
    if (sessions.size >= MAX_SESSIONS) {
      throw new AppError("exhausted", `this box holds ${MAX_SESSIONS} remote sessions already`);
    }
    if (grant.kind === "command" && grant.detach && detached.size >= MAX_DETACHED) {
      throw new AppError(
        "exhausted",
        `this box holds ${MAX_DETACHED} detached commands already: attach to them, or end them`,
      );
    }
    const { session: id, operator } = offer;
    const audited = audit.must({ event: "begin", session: id, operator, operation: describeMasked(offer.operation) });
    const mayStart = Promise.all([audited, recorded]);
    const session = createHeldSession(
      { offer, grant, box },
      {
        ...deps,
        keeperOf: () =>
          createChannelKeeper(
            { session: id, operator, grant, mayStart },
            {
              ...deps,
              onDetached: keepDetached,
              detachedOf: (name, who) => {
                const found = detached.get(name);
                return found?.operator === who ? found.command : undefined;
              },
            },
          ),
      },
    );
    sessions.set(id, session);
    void session.over.then(() => {
      sessions.delete(id);
      tell();
      if (grant.kind !== "command" || !grant.detach) return;
      // What was asked for last may be about to begin.
      clock.timer(BEGIN_MS, () => {
        if (!begun.has(id)) noteEnd({ session: id, isUnbegun: true });
        begun.delete(id);
      });
    });
    session.join(offer);
    tell();
    return mayStart;
  };

  return {
    offer: async (call, recorded = Promise.resolve()) => {
      const offer = requireProvable(call.offer);
      deps.trust(call.ca);
      const known = sessions.get(offer.session);
      if (known !== undefined) {
        if (known.operator !== offer.operator) throw new AppError("refused", "the session is another operator's");
        audit.note({
          event: "resume",
          session: offer.session,
          operator: offer.operator,
          operation: describeMasked(offer.operation),
        });
        known.join(offer);
        return "joined again";
      }
      if (call.isKnown) {
        const hint = detached.has(offer.session) ? ` (its command goes on: attach to ${offer.session})` : "";
        throw new AppError("conflict", `lost: the session was begun before and is over on this box${hint}`);
      }
      await begin(call, offer, recorded);
      return "joining";
    },
    end: (id, reason) => {
      const session = sessions.get(id);
      const command = detached.get(id)?.command;
      if (session === undefined && command === undefined)
        throw new AppError("not-found", `there is no session ${id} here`);
      session?.end("terminated", reason);
      if (session === undefined) void command?.end("terminated");
      return "ending";
    },
    why: async (id) => {
      const session = sessions.get(id);
      if (session !== undefined) return session.why();
      const command = detached.get(id)?.command;
      if (command === undefined) throw new AppError("not-found", `there is no session ${id} here`);
      return lookIntoDetached(command.facts(), deps);
    },
    drain: () => {
      isDraining = true;
      tell();
    },
    status: () => ({
      version: deps.version,
      pid: deps.pid,
      sessions: [
        ...[...sessions.values()].map((session) => session.view()),
        ...[...detached]
          .filter(([id]) => !sessions.has(id))
          .map(([session, { operator, operation, since, command }]) => ({
            session,
            operator,
            operation,
            state: "detached" as const,
            since,
            pid: command.pid,
          })),
      ],
      ended: [...ended],
    }),
    get size() {
      return sessions.size + detached.size;
    },
    endAll: async (reason) => {
      for (const session of sessions.values()) session.end("terminated", reason);
      await Promise.all([...sessions.values()].map(({ over }) => over));
      await Promise.all([...detached.values()].map(({ command }) => command.end("terminated")));
    },
    onChange: (given) => {
      tell = given;
    },
  };
}
