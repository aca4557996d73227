import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import type { Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { createSpawner } from "../base/spawn.ts";
import type { Assignment, CopyItem, Meeting, TransferPeer, Work, WorkOf } from "../contract/transfer/assignment.ts";
import { MAX_PAGES_AT_ONCE } from "../contract/transfer/plan-page.ts";
import type { TransferEntry } from "../contract/transfer/transfer-entry.ts";
import type { ResultFailure } from "../contract/transfer/transfer-result.ts";
import { signTransferTicket, type TransferTicket, transferScope } from "../contract/transfer/transfer-ticket.ts";
import type { Carrier } from "../remote/carrier.ts";
import { type CarrierPair, createCarrierPair } from "../remote/carrier-pair.fake.ts";
import type { RouterDialler } from "../remote/router-dialler.ts";
import { startDataServer } from "./send/data-server.ts";
import { createBulkFiles } from "./storage/bulk-file.ts";
import { openStorage, type Storage } from "./storage/storage.ts";
import { runWork } from "./tasks/run-work.ts";
import type { TaskContext, TaskOutcome } from "./tasks/task-context.ts";
import { createTicketChecker } from "./wire/check-ticket.ts";
import { createDialler } from "./wire/data-dial.ts";
import { createEndpointTurns } from "./wire/endpoint-turns.ts";
import { createPace } from "./wire/pace.ts";
import { createPushedLinks } from "./wire/pushed-links.ts";
import { createRoutedLinks } from "./wire/routed-link.ts";
import { makeWorkerIdentity } from "./wire/worker-identity.fake.ts";

const spawner = createSpawner({ ambient: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" } }, { clock: systemClock });
const quiet = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined };
const PRESERVE = ["mode", "times", "hardlinks", "symlinks", "sparse"] as const;

export interface WorkerSide {
  readonly context: TaskContext;
  readonly storage: Storage;
  readonly port: number;
  readonly sha256: string;
}

interface RunOptions {
  readonly attempt?: number;
  /** What comes before the first colon is the transfer's own. */
  readonly lease?: string;
  readonly requestedMs?: number;
  readonly signal?: AbortSignal;
  readonly onBytes?: (bytes: number) => void;
  readonly onNearlyDone?: () => void;
  /** Filled, also where the work rejects. */
  readonly outcome?: TaskOutcome;
}

export function freshOutcome(): TaskOutcome {
  return { items: [], failures: [], bytesSent: 0, isDialFailed: false, way: undefined, message: "" };
}

/** The router of the world: who comes with the same ticket meets. */
interface Meetings {
  pairs: CarrierPair[];
  /** Of what an end sends. */
  bend: ((frame: Buffer) => Buffer) | undefined;
  waiting: { readonly pair: CarrierPair; readonly both: PromiseWithResolvers<void> } | undefined;
}

/** Two workers in this process, each with a storage, over real connections; what a hub would say is said by the test. */
export interface WorkerWorld {
  readonly directory: string;
  readonly source: WorkerSide;
  readonly destination: WorkerSide;
  readonly pages: TransferEntry[][];
  ticket(items: readonly CopyItem[], claims?: Partial<TransferTicket>): string;
  /** Where both sides meet; what their router does to each pair is `bend`'s. */
  meeting(side: "source" | "destination"): Meeting;
  readonly meetings: Meetings;
  peer(items: readonly CopyItem[], side?: "source" | "destination"): TransferPeer;
  run(work: Work, at?: WorkerSide, options?: RunOptions): Promise<TaskOutcome>;
  list(work?: Partial<WorkOf<"list">>): Promise<TransferEntry[]>;
  copyWork(items: readonly CopyItem[], work?: Partial<WorkOf<"copy">>): WorkOf<"copy">;
  /** As a hub plans it. Answers with all failures. */
  move(options?: {
    readonly chunkBytes?: number;
    readonly work?: Partial<WorkOf<"copy">>;
  }): Promise<TaskOutcome["failures"]>;
  /** Sent by the source since the start. */
  sentBytes(): number;
  close(): void;
}

export interface WorldOptions {
  readonly trusted?: boolean;
  /** Of each side; what the world has in the place of a router unless given. */
  readonly diallerFor?: (side: "source" | "destination") => RouterDialler;
  /** Is given each storage's root before it is opened: to mount something there. What it did is undone by the answer. */
  readonly prepare?: (path: string, workerId: string) => undefined | (() => void);
  /** The worker of the destination has the source's storage too. */
  readonly isOneBox?: boolean;
  /** Of the plan, that its hub answers at the most; an earlier one: 1. */
  readonly pagesAtOnce?: number;
}

export async function openWorkerWorld(options: WorldOptions = {}): Promise<WorkerWorld> {
  const { trusted = true, prepare, isOneBox = false, pagesAtOnce = MAX_PAGES_AT_ONCE } = options;
  // In memory where there is room: nothing here is about the disk, and each file is synced.
  const directory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "sluice-worker-"));
  const stop = new AbortController();
  const pair = generateKeyPairSync("ed25519");
  const key = { id: "k1", privateKey: pair.privateKey };
  const { x = "" } = pair.publicKey.export({ format: "jwk" });
  const skipped: ResultFailure[] = [];
  const pages: TransferEntry[][] = [];
  const undone: (() => void)[] = [];
  const opened: Storage[] = [];
  const meetings: Meetings = { pairs: [], bend: undefined, waiting: undefined };
  let sent = 0;

  const openSide = async (workerId: "source" | "destination"): Promise<WorkerSide & { readonly server: Server }> => {
    const path = join(directory, workerId);
    mkdirSync(path);
    const undo = prepare?.(path, workerId);
    if (undo !== undefined) undone.push(undo);
    const storage = openStorage({ path, read: true, write: true });
    const identity = await makeWorkerIdentity(directory, workerId, spawner);
    const tickets = createTicketChecker({ workerId, nowSeconds: () => Math.floor(systemClock.wallMs() / 1000) });
    tickets.keys([{ kty: "OKP", crv: "Ed25519", x, kid: key.id, use: "sig", alg: "EdDSA" }]);
    opened.push(storage);
    const storageOf = (id: string) => (isOneBox ? opened : [storage]).find((one) => one.id === id);
    const pushed = createPushedLinks(systemClock);
    const bulkFiles = createBulkFiles(systemClock);
    const pace = createPace(() => undefined, systemClock);
    const serveDeps = { clock: systemClock, bulkFiles, tickets, storageOf, pace };
    const server = await startDataServer(
      { host: "127.0.0.1", port: 0, allowsPlain: trusted },
      {
        ...serveDeps,
        log: quiet,
        identity: () => identity,
        takePushed: pushed.take,
        onSent: (bytes) => {
          sent += bytes;
        },
        signal: stop.signal,
      },
    );
    const address = server.address();
    return {
      server,
      storage,
      port: typeof address === "object" && address !== null ? address.port : 0,
      sha256: new X509Certificate(identity.cert).fingerprint256.replaceAll(":", "").toLowerCase(),
      context: {
        clock: systemClock,
        bulkFiles,
        log: quiet,
        pid: process.pid,
        runProgram: spawner.runProgram,
        workerId,
        dialler: createDialler({
          clock: systemClock,
          identity: () => identity,
          endpoints: createEndpointTurns(systemClock),
          onRoundTrip: () => undefined,
        }),
        routed: createRoutedLinks({
          clock: systemClock,
          identity: () => identity,
          openDialler: async () => options.diallerFor?.(workerId) ?? diallerOf(meetings),
        }),
        storageOf,
        awaitPushed: pushed.wait,
        receivePace: createPace(() => undefined, systemClock),
        serveDeps,
        hub: {
          heartbeat: () => Promise.reject(new TypeError("no hub")),
          assignment: () => Promise.reject(new TypeError("no hub")),
          result: () => Promise.reject(new TypeError("no hub")),
          plan: async (body) => {
            pages[body.page] = [...body.entries].map((entry) => ({ ...entry }));
            skipped.push(...(body.skipped ?? []));
            return true;
          },
          pages: async (_, { from, count, only }) => {
            const given = pages.slice(from, from + Math.min(count, pagesAtOnce));
            return {
              pages: given.length,
              entries: given.flat().filter(({ type }) => only === undefined || type === only),
            };
          },
          nowSeconds: () => Math.floor(systemClock.wallMs() / 1000),
        },
      },
    };
  };
  const source = await openSide("source");
  const destination = await openSide("destination");

  const world: WorkerWorld = {
    directory,
    source,
    destination,
    pages,
    meetings,
    meeting: (side) => ({
      router: { id: "router", url: "http://router.example" },
      ticket: side,
      worker_id: side === "source" ? "destination" : "source",
      certificate_sha256: (side === "source" ? destination : source).sha256,
    }),
    ticket: (items, claims = {}) => {
      const nowSeconds = Math.floor(systemClock.wallMs() / 1000);
      return signTransferTicket(
        {
          aud: "sluice-transfer",
          rid: "r1",
          lease: "lease",
          att: 1,
          src: "source",
          dst: "destination",
          storage: source.storage.id,
          root: "tree",
          scope: transferScope(items),
          iat: nowSeconds,
          exp: nowSeconds + 600,
          ...claims,
        },
        key,
      );
    },
    peer: (items, side = "source") => ({
      worker_id: side,
      endpoints: [{ address: `127.0.0.1:${world[side].port}`, trusted }],
      certificate_sha256: world[side].sha256,
      storage_id: world[side].storage.id,
      ticket: world.ticket(items),
    }),
    run: async (
      work,
      at = destination,
      {
        attempt = 1,
        lease = "lease",
        requestedMs = 0,
        signal = new AbortController().signal,
        onBytes = () => undefined,
        onNearlyDone = () => undefined,
        outcome = freshOutcome(),
      }: RunOptions = {},
    ) => {
      const assignment: Assignment = {
        request_id: "r1",
        worker_id: at.context.workerId,
        source_path: "/",
        destination_path: "/",
        chunk_offset: 0,
        chunk_size: 0,
        source_worker_pool: [],
        destination_worker_pool: [],
        lease_id: lease,
        attempt,
        requested_ms: requestedMs,
        ttl_seconds: 10,
        work,
      };
      await runWork(assignment, outcome, {
        context: at.context,
        signal,
        onBytes,
        onNearlyDone,
        pace: createPace(() => (work.kind === "copy" ? work.rate_bytes_s : undefined), systemClock),
      });
      return outcome;
    },
    list: async (work = {}) => {
      pages.length = 0;
      skipped.length = 0;
      await world.run(
        {
          kind: "list",
          source: { storage_id: source.storage.id, path: "tree" },
          include: [],
          exclude: [],
          preserve: [...PRESERVE],
          next_page: 0,
          ...work,
        },
        source,
      );
      return pages.flat();
    },
    copyWork: (items, work = {}) => ({
      kind: "copy",
      unit: `u${items[0]?.offset ?? 0}`,
      source: { storage_id: source.storage.id, path: "tree" },
      destination: { storage_id: destination.storage.id, path: "tree" },
      items: [...items],
      sources: [world.peer(items)],
      dial: "destination",
      local: false,
      verify: "full",
      preserve: [...PRESERVE],
      takes_hashes: false,
      ...work,
    }),
    move: async ({ chunkBytes = 1024 * 1024, work = {} } = {}) => {
      const entries = await world.list({ preserve: work.preserve ?? [...PRESERVE] });
      const failures = [...skipped];
      const small = entries.filter(({ size, type }) => size <= chunkBytes && type !== "hardlink");
      const batch = small.map((entry) => ({ entry, offset: 0, length: entry.size }));
      failures.push(...(await world.run(world.copyWork(batch, { unit: "batch", ...work }))).failures);
      for (const entry of entries.filter(({ size }) => size > chunkBytes)) {
        const ranges: WorkOf<"finish">["ranges"] = [];
        for (let offset = 0; offset < entry.size; offset += chunkBytes) {
          const item = { entry, offset, length: Math.min(chunkBytes, entry.size - offset) };
          const unit = `${entry.path}.${offset}`;
          const outcome = await world.run(world.copyWork([item], { unit, ...work }));
          failures.push(...outcome.failures);
          ranges.push(...outcome.items.map(({ path: _, ...range }) => range));
        }
        const finished = await world.run({
          kind: "finish",
          unit: `${entry.path}.end`,
          destination: { storage_id: destination.storage.id, path: "tree" },
          entry,
          ranges,
          verify: work.verify ?? "full",
          preserve: work.preserve ?? [...PRESERVE],
        });
        failures.push(...finished.failures);
      }
      const closed = await world.run({
        kind: "close",
        unit: "close",
        destination: { storage_id: destination.storage.id, path: "tree" },
        pages: pages.length,
        has_hardlinks: true,
        delete_extraneous: false,
        preserve: work.preserve ?? [...PRESERVE],
      });
      failures.push(...closed.failures);
      return failures;
    },
    sentBytes: () => sent,
    close: () => {
      stop.abort(new DOMException("the world ends", "AbortError"));
      for (const side of [source, destination]) {
        side.context.dialler.close();
        side.context.routed.close();
        side.server.close();
        side.storage.close();
      }
      for (const undo of undone) undo();
      rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  return world;
}

/** The source's side comes with the ticket `source`, the other with `destination`. */
function diallerOf(meetings: Meetings): RouterDialler {
  const bent = (carrier: Carrier): Carrier => ({
    ...carrier,
    send: (pieces) => carrier.send(meetings.bend === undefined ? pieces : [meetings.bend(Buffer.concat(pieces))]),
  });
  return {
    join: async ({ ticket }) => {
      const { waiting } = meetings;
      meetings.waiting = undefined;
      const pair = waiting?.pair ?? createCarrierPair();
      // Nobody is told before the other is there: what is said to nobody is lost.
      const both = waiting?.both ?? Promise.withResolvers<void>();
      if (waiting === undefined) {
        meetings.waiting = { pair, both };
        meetings.pairs.push(pair);
        await both.promise;
      } else both.resolve();
      return bent(ticket === "source" ? pair.box : pair.operator);
    },
    prepare: () => undefined,
    close: () => undefined,
  };
}
