import type { Service } from "../../base/service.ts";
import { operatorOf } from "../auth/authenticator.ts";
import type { HubContext } from "../hub-context.ts";
import { createLapBell, runLeasedLaps } from "../leased-laps.ts";
import type { OperatorToken } from "../store/operator-tokens.ts";
import { everyItem } from "../store/page.ts";
import type { Hint } from "../store/store.ts";
import { decideRemote } from "./decide-remote.ts";
import type { RemoteBook } from "./remote-book.ts";
import { REMOTE_KIND, type Remote } from "./remote-record.ts";
import type { RouterBook } from "./router-book.ts";
import { broken } from "./router-news.ts";
import { TICKET_KEYS_KIND, type TicketKeys } from "./ticket-keys.ts";

export interface RemoteKeeperDeps {
  readonly context: HubContext;
  readonly manyHubs: boolean;
  readonly book: RemoteBook;
  readonly keys: TicketKeys;
  readonly routers: RouterBook;
  /** What its box says of the end of a session's command; `undefined`: nothing. */
  readonly endOnBox: (remote: Remote) => string | undefined;
}

const LAP_MS = 1000;
const RETRY_MS = 500;
/** Also without any hint a right that has ended is seen by then. */
const RIGHTS_MS = 3000;
/** Other routers and hubs are looked for; this hub says that it is there. */
const ROUTERS_MS = 3000;
const KEYS_MS = 60_000;
/** What was missed by every hint is found by then. */
const LIST_MS = { shared: 5000, own: 60_000 } as const;
const TRIM_MS = 5 * 60_000;

/**
 * Ends what has lasted too long, what nobody came to, and what nobody has a right to any more. Every hub does, for all sessions:
 * each end is one conditional write, so that it is written once.
 */
export function createRemoteKeeper(deps: RemoteKeeperDeps): Service {
  const { context, manyHubs, book, keys, routers } = deps;
  const { store, clock, secrets } = context;
  const bell = createLapBell();
  const dueAtMs = { list: 0, routers: 0, keys: 0, rights: 0, trim: 0 };
  type Work = keyof typeof dueAtMs;

  const now = (work: Work) => {
    dueAtMs[work] = 0;
    bell.ring();
  };
  /** Whether it is due; it is then done in this lap, or again at once where that fails. */
  const isDue = (work: Work) => clock.monotonicMs() >= dueAtMs[work];
  const done = (work: Work, periodMs: number) => {
    dueAtMs[work] = clock.monotonicMs() + periodMs;
  };

  const onHint = (hint: Hint) => {
    const isOpen = (boxId: string) => book.open().some(({ box }) => box === boxId);
    if (hint.kind === "all") for (const work of ["list", "routers", "keys", "rights"] as const) now(work);
    if (hint.kind === "operators") now("rights");
    // With the next lap: a box is told of each session, and no right depends on that.
    if (hint.kind === "box" && isOpen(hint.boxId)) dueAtMs.rights = 0;
    if (hint.kind !== "objects") return;
    // A hub that is alone has written it itself.
    if (hint.of === REMOTE_KIND && manyHubs) now("list");
    if (hint.of === TICKET_KEYS_KIND) now("keys");
  };

  const readTokens = async (): Promise<ReadonlyMap<string, OperatorToken>> => {
    const tokens = new Map<string, OperatorToken>();
    for await (const token of everyItem((page) => store.operatorTokens.list(page))) tokens.set(token.id, token);
    return tokens;
  };

  const problemOfOperator = (token: OperatorToken | undefined, { operator }: Remote): string | undefined => {
    if (token === undefined) return `${operator}'s token is gone`;
    try {
      const identity = operatorOf(token, clock.wallMs());
      return identity.kind === "operator" ? undefined : `${operator} is no operator`;
    } catch {
      return `${operator}'s token was revoked or has expired`;
    }
  };

  const problemOfBox = async (boxId: string): Promise<string | undefined> => {
    const box = await store.boxes.get(boxId);
    if (box === undefined) return `box ${boxId} was forgotten`;
    return box.state === "approved" ? undefined : `box ${boxId} is ${box.state}`;
  };

  const settle = async (remote: Remote, problems: Problems) => {
    const factsOf = (one: Remote) => ({
      nowMs: clock.wallMs(),
      operatorProblem: problems.operators.get(one.id),
      boxProblem: problems.boxes.get(one.box),
      isRouterLive: routers.isLive(one.router),
      endOnBox: deps.endOnBox(one),
    });
    const decision = decideRemote(remote, factsOf(remote));
    if (decision?.kind === "break") {
      await book.change(remote.id, (held) => {
        const again = decideRemote(held, factsOf(held));
        return again?.kind === "break" ? broken(held, { decision: again, nowMs: clock.wallMs() }) : undefined;
      });
    }
    if (decision?.kind !== "end") return;
    await book.end(remote.id, (held) => {
      const again = decideRemote(held, factsOf(held));
      if (again?.kind !== "end") return undefined;
      const isBoxs = again.isBoxs === true;
      const actor = isBoxs ? `box:${held.box}` : "hub";
      return { reason: again.reason, audit: { actor, action: "remote.end" }, isBoxs };
    });
  };

  const readProblems = async (open: readonly Remote[]): Promise<Problems> => {
    const operators = new Map<string, string>();
    const boxes = new Map<string, string>();
    const tokens = await readTokens();
    for (const remote of open) {
      const problem = problemOfOperator(tokens.get(remote.tokenId), remote);
      if (problem !== undefined) operators.set(remote.id, problem);
    }
    for (const boxId of new Set(open.map(({ box }) => box))) {
      const problem = await problemOfBox(boxId);
      if (problem !== undefined) boxes.set(boxId, problem);
    }
    return { operators, boxes };
  };

  const lap = async () => {
    bell.silence();
    if (isDue("keys") && secrets !== undefined) {
      await keys.refresh();
      done("keys", KEYS_MS);
    }
    if (isDue("routers")) {
      await routers.refresh();
      done("routers", ROUTERS_MS);
    }
    if (isDue("list")) {
      await book.refresh();
      done("list", manyHubs ? LIST_MS.shared : LIST_MS.own);
    }
    if (isDue("trim")) {
      await book.trim();
      done("trim", TRIM_MS);
    }
    const open = book.open();
    const isRights = isDue("rights");
    const problems = isRights && open.length > 0 ? await readProblems(open) : NO_PROBLEMS;
    for (const remote of open) await settle(remote, problems);
    if (isRights) done("rights", RIGHTS_MS);
  };

  return {
    name: "remote sessions",
    run: async (signal) => {
      const stopListening = store.onHint(onHint);
      try {
        await runLeasedLaps(
          {
            title: "Remote sessions",
            periodMs: LAP_MS,
            retryMs: RETRY_MS,
            lap,
            isOthers: () => false,
            untilCalled: bell.untilRung,
          },
          context,
          signal,
        );
      } finally {
        stopListening();
        // Where the store is away, the others find out when it was not heard for a while.
        await routers.leave().catch(() => undefined);
      }
    },
  };
}

interface Problems {
  /** By session. */
  readonly operators: ReadonlyMap<string, string>;
  /** By box. */
  readonly boxes: ReadonlyMap<string, string>;
}
const NO_PROBLEMS: Problems = { operators: new Map(), boxes: new Map() };
