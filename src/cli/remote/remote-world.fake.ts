import { PassThrough, Writable } from "node:stream";
import type { Clock } from "../../base/clock.ts";
import { systemClock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import type { HubClient } from "../../client/hub-client.ts";
import type { RemoteAdmission, RemoteCreate, RemoteView } from "../../contract/fleet/remote.ts";
import { remoteOperationSchema } from "../../contract/remote/operation.ts";
import { type CarrierPair, createCarrierPair } from "../../remote/carrier-pair.fake.ts";
import type { Channel } from "../../remote/channel.ts";
import type { ExitFacts } from "../../remote/exit-facts.ts";
import type { AttemptFacts } from "../../remote/handshake-keys.ts";
import type { OpenWhat } from "../../remote/open-what.ts";
import { newKeyPair } from "../../remote/proof-hub.fake.ts";
import { awaitProof } from "../../remote/proven-carrier.ts";
import { createWindowLedger } from "../../remote/receive-window.ts";
import { createRemoteSession, type RemoteSession } from "../../remote/remote-session.ts";
import type { Console, ForwardedSignal, RawTerminal } from "./console.ts";
import { toSink } from "./process-console.ts";
import type { RemoteTools } from "./remote-tools.ts";

/** What a box does with a channel. */
export type BoxHand = (channel: Channel, what: OpenWhat, box: string) => unknown;

/** Hub, router and boxes in memory: the sessions at both ends are the real ones. */
export interface RemoteWorld {
  readonly hub: HubClient;
  readonly tools: Pick<RemoteTools, "connectRemote" | "createDialler" | "createSession">;
  /** Without their keys, which are never the same. */
  readonly created: { readonly box: string; readonly create: Omit<RemoteCreate, "key"> }[];
  /** What the next joins fail with, in turn. */
  readonly joinFaults: AppError[];
  /** What the next calls of `rejoin` fail with, in turn. */
  readonly rejoinFaults: AppError[];
  rejoins(): number;
  /** The carrier in use. */
  carrier(): CarrierPair;
  /** The box forgets every session. */
  forget(): void;
  /** The hub ends them with this reason. */
  end(reason: string): void;
}

const LIMITS = { idleSeconds: 1800, maxSeconds: 28_800, resumeSeconds: 300 };

export function createRemoteWorld(
  hand: BoxHand,
  { boxes = ["north-1"], clock = systemClock }: { readonly boxes?: readonly string[]; readonly clock?: Clock } = {},
): RemoteWorld {
  const created: RemoteWorld["created"] = [];
  const joinFaults: AppError[] = [];
  const rejoinFaults: AppError[] = [];
  const sessions = new Map<string, RemoteSession>();
  const boxKey = newKeyPair();
  /** By the tickets that were given out for them. */
  const attempts = new Map<string, AttemptFacts & { readonly operatorKey: string }>();
  let pair: CarrierPair | undefined;
  let rejoins = 0;
  let serial = 0;
  let endReason: string | undefined;

  const makeSession = (side: "operator" | "box") => {
    serial += 1;
    return createRemoteSession(
      { side, program: "sluice/test" },
      { clock, newId: () => `i-${serial}`, ledger: createWindowLedger() },
    );
  };
  const boxEnd = (id: string, box: string): RemoteSession => {
    const known = sessions.get(id);
    if (known !== undefined) return known;
    const made = makeSession("box");
    made.onChannel((channel, what) => hand(channel, what, box));
    sessions.set(id, made);
    return made;
  };
  const admit = (id: string, box: string, attempt: number, operatorKey: string): RemoteAdmission => {
    const ticket = `${id} ${box} ${attempt}`;
    const isSealed = created[Number(id.slice(2)) - 1]?.create.seal === true;
    attempts.set(ticket, { session: id, box, attempt, isSealed, operatorKey });
    return {
      id,
      box,
      ticket,
      router: { id: "r-1", url: "https://router.test" },
      expiresAt: "2026-01-15T10:30:45.000Z",
      attempt,
      limits: LIMITS,
      boxKey: boxKey.key,
    };
  };
  const joinBox = async (ticket: string, given: CarrierPair) => {
    const facts = attempts.get(ticket);
    if (facts === undefined) throw new AppError("unauthorized", "no such ticket");
    const task = { ...facts, boxKey: boxKey.privateKey };
    const proven = await awaitProof(given.box, task, () => facts.operatorKey, { clock }, new AbortController().signal);
    await boxEnd(facts.session, facts.box).carry(proven);
  };
  const viewOf = (id: string): RemoteView => {
    const entry = created[Number(id.slice(2)) - 1];
    if (entry === undefined) throw new AppError("not-found", `no remote session ${id}`);
    return {
      id,
      box: entry.box,
      operator: "anna",
      operation: remoteOperationSchema.parse(entry.create.operation),
      state: endReason === undefined ? "open" : "ended",
      reason: endReason ?? "both ends are there",
      attempt: 1,
      createdAt: "2026-01-15T10:30:45.000Z",
      bytesToBox: 0,
      bytesFromBox: 0,
    };
  };
  const hub = {
    hub: "https://hub.test",
    boxes: {
      get: async (id: string) => {
        if (!boxes.includes(id)) throw new AppError("not-found", `no box ${id}`);
        return { id };
      },
      list: async function* () {
        for (const id of boxes) yield { id };
      },
    },
    remote: {
      create: async (box: string, create: RemoteCreate) => {
        if (!boxes.includes(box)) throw new AppError("not-found", `no box ${box}`);
        const { key = "", ...wish } = create;
        created.push({ box, create: wish });
        return admit(`s-${created.length}`, box, 1, key);
      },
      rejoin: async (id: string, key: string) => {
        rejoins += 1;
        const fault = rejoinFaults.shift();
        if (fault !== undefined) throw fault;
        return admit(id, viewOf(id).box, 1 + rejoins, key);
      },
      get: async (id: string) => viewOf(id),
      list: async function* () {
        for (const index of created.keys()) yield viewOf(`s-${index + 1}`);
      },
      end: async () => {
        endReason = "ended by anna";
      },
    },
  };
  return {
    // Only what these commands ask of a hub.
    hub: hub as unknown as HubClient,
    tools: {
      connectRemote: async () => hub.remote,
      createSession: async () => makeSession("operator"),
      createDialler: async () => ({
        join: async ({ ticket }) => {
          const fault = joinFaults.shift();
          if (fault !== undefined) throw fault;
          pair = createCarrierPair();
          void joinBox(ticket, pair).catch(() => undefined);
          return pair.operator;
        },
        close: () => undefined,
      }),
    },
    created,
    joinFaults,
    rejoinFaults,
    rejoins: () => rejoins,
    carrier: () => {
      if (pair === undefined) throw new AppError("internal", "nothing was joined");
      return pair;
    },
    forget: () => sessions.clear(),
    end: (reason) => {
      endReason = reason;
    },
  };
}

/** Ends a command as a box does: its outputs have ended, their digests go with the exit. */
export async function endCommand(
  channel: Channel,
  how: ExitFacts["how"],
  more: Partial<Pick<ExitFacts, "killedBy" | "coreDumped" | "out">> = {},
): Promise<void> {
  const [out, err] = [channel.writable("out"), channel.writable("err")];
  await Promise.all([out, err].map((pipe) => new Promise<void>((resolve) => pipe.end(() => resolve()))));
  channel.exit({
    how,
    coreDumped: false,
    killedBy: undefined,
    outputOpenAfterExit: false,
    wallMs: 12,
    out: channel.digest("out"),
    err: channel.digest("err"),
    ...more,
  });
}

export interface FakeConsole {
  readonly console: Console;
  readonly stdin: PassThrough;
  readonly out: () => string;
  readonly err: () => string;
  readonly statusLines: () => readonly string[];
  raise(name: ForwardedSignal): void;
  /** True while the terminal is raw. */
  readonly isRaw: () => boolean;
  resize(cols: number, rows: number): void;
}

export interface FakeConsoleWish {
  readonly isTerminal?: boolean;
  /** Takes what is written; the next comes when it calls `done`. */
  readonly onWrite?: (bytes: Buffer, done: (error?: Error) => void) => void;
}

export function createFakeConsole({ isTerminal = false, onWrite }: FakeConsoleWish = {}): FakeConsole {
  const chunks = { out: [] as Buffer[], err: [] as Buffer[] };
  const collect = (kept: Buffer[], act?: FakeConsoleWish["onWrite"]) =>
    new Writable({
      highWaterMark: 16_384,
      write: (bytes: Buffer, _encoding, done) => {
        kept.push(bytes);
        if (act === undefined) done();
        else act(bytes, done);
      },
    });
  const stdin = new PassThrough();
  const lines: string[] = [];
  let listener: ((name: ForwardedSignal) => void) | undefined;
  let onResize: ((size: { cols: number; rows: number }) => void) | undefined;
  let size = { cols: 80, rows: 24 };
  let isRaw = false;
  const terminal: RawTerminal = {
    type: "xterm-test",
    size: () => size,
    onResize: (told) => {
      onResize = told;
      return () => {
        onResize = undefined;
      };
    },
    makeRaw: () => {
      isRaw = true;
      return () => {
        isRaw = false;
      };
    },
  };
  return {
    console: {
      stdin,
      isInputTerminal: isTerminal,
      stdout: toSink(collect(chunks.out, onWrite)),
      stderr: toSink(collect(chunks.err)),
      terminal: isTerminal ? terminal : undefined,
      isErrorTerminal: isTerminal,
      takeSignals: (given) => {
        listener = given;
        return () => {
          listener = undefined;
        };
      },
      openStatusDescriptor: (fd) => (text) => void lines.push(`${fd} ${text}`),
    },
    stdin,
    out: () => Buffer.concat(chunks.out).toString(),
    err: () => Buffer.concat(chunks.err).toString(),
    statusLines: () => lines,
    raise: (name) => listener?.(name),
    isRaw: () => isRaw,
    resize: (cols, rows) => {
      size = { cols, rows };
      onResize?.(size);
    },
  };
}
