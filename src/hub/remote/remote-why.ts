import { AppError, messageOf } from "../../base/errors.ts";
import type { RemoteWhyView, RouterWhy } from "../../contract/fleet/remote-why.ts";
import type { RouterFigure } from "../../contract/fleet/router.ts";
import { type BoxWhy, boxWhySchema, REMOTE_WHY_COMMAND } from "../../contract/remote/box-why.ts";
import type { HubContext } from "../hub-context.ts";
import type { Presence } from "../life/presence.ts";
import { decideVerdict } from "./decide-verdict.ts";
import type { MountedRouter } from "./mounted-router.ts";
import type { RemoteBook } from "./remote-book.ts";
import type { Remote } from "./remote-record.ts";

/** Finds out what holds a session up: asks its box, looks at its router, and decides. */
export interface RemoteWhy {
  /** Rejects with `not-found`. What cannot be learnt is told, and no error. Two who ask at a time ask once. */
  of(id: string): Promise<RemoteWhyView>;
  /** What a router of its own has told of the sessions that it has. */
  heard(routerId: string, sessions: readonly RouterFigure[]): void;
}

export interface RemoteWhyDeps {
  readonly context: Pick<HubContext, "store" | "clock" | "newSecret">;
  readonly book: Pick<RemoteBook, "get">;
  readonly presence: Pick<Presence, "of">;
  readonly router: () => MountedRouter | undefined;
}

/** A box looks on for a moment, and then waits 3 s for the operator's end. */
const ANSWER_MS = 9000;
const POLL_MS = 100;

export function createRemoteWhy({ context, book, presence, router }: RemoteWhyDeps): RemoteWhy {
  const { store, clock, newSecret } = context;
  const asking = new Map<string, Promise<BoxWhy>>();
  const figures = new Map<string, ReadonlyMap<string, RouterFigure>>();

  const routerOf = (remote: Remote): RouterWhy | undefined => {
    const own = router();
    if (remote.router === own?.id) {
      const pair = own.list().find(({ id }) => id === remote.id);
      if (pair === undefined) return undefined;
      const { operatorStalledMs, boxStalledMs, operatorQuietMs, boxQuietMs, sides } = pair;
      return { id: own.id, sides: [...sides], operatorStalledMs, boxStalledMs, operatorQuietMs, boxQuietMs };
    }
    const told = figures.get(remote.router)?.get(remote.id);
    if (told?.operatorQuietMs === undefined || told.boxQuietMs === undefined) return undefined;
    const { operatorStalledMs = 0, boxStalledMs = 0, operatorQuietMs, boxQuietMs } = told;
    return {
      id: remote.router,
      sides: ["operator", "box"],
      operatorStalledMs,
      boxStalledMs,
      operatorQuietMs,
      boxQuietMs,
    };
  };

  /** Rejects with why it tells nothing. */
  const ask = async ({ id: session, box }: Remote): Promise<BoxWhy> => {
    const report = (await store.reports.get(box))?.report;
    if (report?.capabilities?.includes(`command:${REMOTE_WHY_COMMAND}`) !== true) {
      throw new AppError("unsupported", `box ${box} runs sluice ${report?.agentVersion ?? "?"}, which does not tell`);
    }
    const nowMs = clock.wallMs();
    const id = `${REMOTE_WHY_COMMAND}-${newSecret().slice(0, 24)}`;
    const command = { id, name: REMOTE_WHY_COMMAND, args: { session }, deadlineMs: nowMs + ANSWER_MS };
    await store.commands.create(box, command, { nowMs });
    const untilMs = clock.monotonicMs() + ANSWER_MS;
    while (clock.monotonicMs() < untilMs) {
      await clock.delay(POLL_MS);
      const found = (await store.commands.list(box, clock.wallMs())).find((one) => one.id === id);
      if (found?.state === "done") return boxWhySchema.parse(JSON.parse(found.answer ?? ""));
      if (found?.state === "failed") throw new AppError("unavailable", `box ${box}: ${found.answer ?? "it refused"}`);
    }
    throw new AppError("timeout", `box ${box} has not answered within ${ANSWER_MS / 1000} s`);
  };
  const askOnce = (remote: Remote): Promise<BoxWhy> => {
    const known = asking.get(remote.id);
    if (known !== undefined) return known;
    const mine = ask(remote).finally(() => asking.delete(remote.id));
    asking.set(remote.id, mine);
    return mine;
  };

  return {
    heard: (routerId, sessions) => {
      figures.set(routerId, new Map(sessions.map((figure) => [figure.id, figure])));
      if (figures.size > MAX_ROUTERS) figures.delete([...figures.keys()][0] ?? "");
    },
    of: async (id) => {
      const first = await book.get(id);
      const missing: string[] = [];
      const { connection } = presence.of(first.box);
      let onBox: BoxWhy | undefined;
      if (first.state !== "ended") {
        if (connection === "offline" || connection === "never") {
          missing.push(
            `box ${first.box} is ${connection === "never" ? "not known yet" : "offline"} and cannot be asked`,
          );
        } else {
          try {
            onBox = await askOnce(first);
          } catch (thrown) {
            missing.push(messageOf(thrown));
          }
        }
      }
      const remote = await book.get(id);
      const found = routerOf(remote);
      if (remote.state === "open" && found === undefined) {
        missing.push(`router ${remote.router} tells this hub nothing of it`);
      }
      if (onBox?.link?.answeredMs !== undefined && onBox.operator === undefined) {
        missing.push("the operator's program does not tell how it stands");
      }
      if (onBox?.command !== undefined && !onBox.command.hasExited && onBox.command.readsInput === undefined) {
        missing.push("the box's kernel does not tell whether the command reads its input");
      }
      const { verdict, sentence } = decideVerdict({ remote, connection, router: found, onBox });
      const { box, operator, operation, state } = remote;
      return {
        ...{ id, box, operator, operation, state, verdict, sentence, missing },
        ...(found === undefined ? {} : { router: found }),
        ...(onBox === undefined ? {} : { onBox }),
      };
    },
  };
}

const MAX_ROUTERS = 1000;
