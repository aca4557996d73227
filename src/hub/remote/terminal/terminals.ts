import { duplexPair } from "node:stream";
import { AppError, messageOf } from "../../../base/errors.ts";
import type { Service } from "../../../base/service.ts";
import { toAppError } from "../../../contract/error-code.ts";
import { type RemoteAdmission, remoteCreateSchema } from "../../../contract/fleet/remote.ts";
import type { RecordingMode } from "../../../contract/fleet/remote-recording.ts";
import { newRemoteKey, publicTextOf } from "../../../contract/remote/remote-key.ts";
import { createWindowLedger } from "../../../remote/receive-window.ts";
import { createRemoteSession } from "../../../remote/remote-session.ts";
import { createRouterDialler } from "../../../remote/router-dialler.ts";
import { parseInput } from "../../http/parse-input.ts";
import type { HubContext } from "../../hub-context.ts";
import { notFound } from "../../store/store-error.ts";
import type { MountedRouter } from "../mounted-router.ts";
import type { AskedBy, Operator, RemoteAdmissions } from "../remote-admission.ts";
import type { RemoteBook } from "../remote-book.ts";
import type { Recorder } from "./recorder.ts";
import type { Recordings } from "./recordings.ts";
import { createTerminal, type Terminal } from "./terminal.ts";
import { carryTerminal, type ProvableAdmission } from "./terminal-link.ts";

export interface TerminalWish {
  readonly box: string;
  readonly user: string | undefined;
  readonly cwd: string | undefined;
  readonly isRecorded: boolean;
  readonly cols: number;
  readonly rows: number;
}

/** Shells on boxes whose operator's end is this hub, for pages that show them. */
export interface Terminals extends Service {
  /** As `RemoteAdmissions.create`; `refused` too where it should be recorded and must not, `storage` where it cannot. */
  open(wish: TerminalWish, by: AskedBy): Promise<Terminal>;
  find(id: string, caller: Operator): Terminal;
  count(): number;
}

export interface TerminalsDeps {
  readonly context: HubContext;
  readonly admissions: RemoteAdmissions;
  readonly book: RemoteBook;
  readonly router: () => MountedRouter | undefined;
  readonly mode: RecordingMode;
  /** Absent: there is no place for any. */
  readonly recordings: Recordings | undefined;
}

/** The box and the router may take so long to end in order what is over. */
const ORDERLY_MS = 3000;

export function createTerminals(deps: TerminalsDeps): Terminals {
  const { context, admissions, book, router, mode, recordings } = deps;
  const { clock, random, newSecret, version, life, log } = context;
  const program = `sluice/${version}`;
  const terminals = new Map<string, Terminal>();
  const ledger = createWindowLedger();
  const dialler = createRouterDialler(
    { client: program },
    {
      clock,
      authorities: () => [],
      // The own router is in this process: no name, certificate or port is needed to reach it.
      connectionTo: ({ id }) => {
        const own = router();
        if (own === undefined || own.id !== id) return undefined;
        const [mine, theirs] = duplexPair();
        own.serve(theirs);
        return mine;
      },
    },
  );

  const reasonOf = async (sessionId: string) => {
    const remote = await book.get(sessionId);
    return remote.state === "ended" ? remote.reason : undefined;
  };

  const recorderOf = async (wish: TerminalWish, sessionId: string, { caller }: AskedBy) => {
    if (recordings === undefined || !(mode === "always" || wish.isRecorded)) return undefined;
    const { box, cols, rows } = wish;
    const facts = { session: sessionId, box, operator: caller.name, tokenId: caller.tokenId, cols, rows };
    return await recordings.begin(facts).catch(async (thrown: unknown): Promise<Recorder> => {
      await finish(sessionId, toAppError(thrown).message);
      throw thrown;
    });
  };

  const open = async (wish: TerminalWish, by: AskedBy): Promise<Terminal> => {
    const { box, user, cwd, cols, rows } = wish;
    if (wish.isRecorded && mode === "off") {
      throw new AppError(
        "refused",
        "record: given true; allowed: false, as this hub records nothing (remote.recordings)",
      );
    }
    const place = { ...(user === undefined ? {} : { user }), ...(cwd === undefined ? {} : { cwd }) };
    // A router of its own carries it sealed: the page's end is here, and everything between here and the box is others'.
    const sealed = { operation: { kind: "shell", ...place }, seal: true };
    const create = parseInput(remoteCreateSchema, sealed, "message");
    const admission = await withKey((key) => admissions.create(box, { ...create, key }, by));
    const sessionId = admission.id;
    const recorder = await recorderOf(wish, sessionId, by);
    const session = createRemoteSession({ side: "operator", program }, { clock, newId: newSecret, ledger });
    const pty = { term: "xterm-256color", cols, rows };
    const channel = session.open({ kind: "exec", argv: [], env: {}, cwd, user, pty, stdin: true });
    const id = newSecret().slice(0, 32);
    const terminal = createTerminal(
      { id, tokenId: by.caller.tokenId, sessionId, box },
      { session, channel, recorder, clock },
    );
    terminals.set(id, terminal);
    const stop = new AbortController();
    const carried = carryTerminal(
      admission,
      {
        session,
        dialler,
        rejoin: () => withKey((key) => admissions.rejoin(sessionId, key, { ...by, request: undefined })),
        reasonOf: () => reasonOf(sessionId),
        onNote: terminal.note,
        clock,
        random,
      },
      AbortSignal.any([stop.signal, life]),
    ).catch((thrown: unknown) => terminal.end(toAppError(thrown)));
    if (admission.warning !== undefined) terminal.note(admission.warning);
    void terminal.over.then(async (problem) => {
      terminals.delete(id);
      const late = clock.timer(ORDERLY_MS, () => stop.abort(new AppError("cancelled", "the terminal is over")));
      await carried;
      late.clear();
      await finish(sessionId, problem?.message ?? "its page has closed it");
    });
    return terminal;
  };

  /** What the router has not told as ended by then. */
  const finish = async (sessionId: string, reason: string) => {
    const isOver = await settled(sessionId);
    if (!isOver) await book.end(sessionId, () => ({ reason, audit: { actor: "hub", action: "remote.end" } }));
  };
  const settled = async (sessionId: string): Promise<boolean> => {
    for (let waitedMs = 0; waitedMs <= ORDERLY_MS; waitedMs += ORDERLY_MS / 6) {
      if (!book.open().some((remote) => remote.id === sessionId)) return true;
      if (life.aborted) return false;
      await clock.delay(ORDERLY_MS / 6, life).catch(() => undefined);
    }
    return false;
  };

  return {
    name: "terminals",
    open,
    find: (id, caller) => {
      const terminal = terminals.get(id);
      if (terminal === undefined || terminal.isOver || terminal.tokenId !== caller.tokenId) {
        throw notFound("terminal", id);
      }
      return terminal;
    },
    count: () => terminals.size,
    run: async (signal) => {
      while (!signal.aborted) {
        await recordings
          ?.prune()
          .catch((thrown: unknown) => log.warn(`Old recordings cannot be removed: ${messageOf(thrown)}`));
        await clock.delay(PRUNE_MS, signal).catch(() => undefined);
      }
      const open = [...terminals.values()];
      for (const terminal of open) terminal.end(new AppError("unavailable", "the hub is ending"));
      // What each says to its box goes first.
      if (open.length > 0) await clock.delay(CLOSING_MS).catch(() => undefined);
      dialler.close();
    },
  };
}

const PRUNE_MS = 3600 * 1000;
const CLOSING_MS = 200;

/** Each attempt is proved with a key of its own. */
async function withKey(ask: (key: string) => Promise<RemoteAdmission>): Promise<ProvableAdmission> {
  const privateKey = newRemoteKey();
  return { ...(await ask(publicTextOf(privateKey))), privateKey };
}
