import { generateKeyPairSync } from "node:crypto";
import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import type { Assignment } from "../../contract/transfer/assignment.ts";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import type { HeartbeatAnswer } from "../../contract/transfer/worker-heartbeat.ts";
import { parseInput } from "../http/parse-input.ts";
import type { Call, Caller, Route, Wire } from "../http/route.ts";
import { testHubContext } from "../hub-context.fake.ts";
import type { Store } from "../store/store.ts";
import { createTransferParts } from "./transfer-parts.ts";

export type Ask = (method: string, path: string, body?: unknown) => Promise<unknown>;

export interface TransferHub {
  /** Calls a route that answers JSON, without HTTP. Rejects with the route's error. */
  readonly ask: Ask;
  /** The same with the key of a box. */
  readonly askAs: (boxId: string) => Ask;
  stop(): Promise<void>;
}

const { privateKey } = generateKeyPairSync("ed25519");

export interface TransferHubWish {
  readonly hubId?: string;
  readonly manyHubs?: boolean;
  readonly hasRouter?: boolean;
}

/** The part of a hub that does transfers, on a store. */
export function startTransferHub(store: Store, clock: Clock, wish: TransferHubWish = {}): TransferHub {
  const life = new AbortController();
  const hubId = wish.hubId ?? "hub-1";
  const context = testHubContext({ store, clock, life: life.signal, hubId });
  const keys = { signing: async () => ({ id: "k", privateKey }), list: async () => [] };
  const router = { id: "router-1", url: "https://router.example" };
  const problem = wish.hasRouter === true ? undefined : "there is no router";
  const routers = { choose: () => ({ operator: router, box: router }), problem: () => problem };
  const { routes, service } = createTransferParts({ manyHubs: wish.manyHubs ?? false }, { context, keys, routers });
  const running = service.run(life.signal).catch(() => undefined);
  return {
    ask: askOf(routes, life.signal),
    askAs: (boxId) => askOf(routes, life.signal, { kind: "box", boxId, keySlot: "current" }),
    stop: async () => {
      life.abort();
      await running;
    },
  };
}

const OPERATOR: Caller = { kind: "operator", tokenId: "t", name: "t", role: "operator" };

function askOf(routes: readonly Route[], signal: AbortSignal, caller: Caller = OPERATOR): Ask {
  return async (method, target, body) => {
    const [path = "", query = ""] = target.split("?");
    for (const route of routes) {
      const names: string[] = [];
      const pattern = route.path.replace(/\{(\w+)\}/g, (_, name: string) => {
        names.push(name);
        return "([^/]+)";
      });
      const match = route.method === method ? new RegExp(`^${pattern}$`).exec(path) : null;
      if (match === null) continue;
      const params = Object.fromEntries(names.map((name, at) => [name, match[at + 1]]));
      const telling = { isOpen: route.hasNoSecrets === true };
      const call = {
        params: route.params === undefined ? undefined : parseInput(route.params, params, "path", telling),
        query:
          route.query === undefined
            ? undefined
            : parseInput(route.query, Object.fromEntries(new URLSearchParams(query)), "query", telling),
        body: route.body === undefined ? undefined : parseInput(route.body, body, "body", telling),
        caller,
        address: "127.0.0.1",
        signal,
      };
      if (route.handle !== undefined) return route.answer?.parse(await route.handle(call as unknown as Call));
      const parts: unknown[] = [];
      const write = (part?: unknown) => void parts.push(part ?? "");
      const response = { writeHead: () => response, setHeader: () => response, write, end: write };
      await route.stream?.(call as unknown as Call, { request: { headers: {} }, response } as unknown as Wire);
      return route.answer?.parse(JSON.parse(parts.join("")));
    }
    throw new AppError("not-found", `${method} ${target}`);
  };
}

export function fileEntry(path: string, size: number, more: Partial<TransferEntry> = {}): TransferEntry {
  return {
    path,
    type: "file",
    size,
    mtime_ns: "1",
    mode: 0o644,
    uid: 0,
    gid: 0,
    generation: `1:${path}:${size}`,
    ...more,
  };
}

export function hashFor(text: string): string {
  return Buffer.from(text).toString("hex").padEnd(64, "0").slice(0, 64);
}

/** What landed on a storage: how often each range was written by an attempt that the fence let through. */
export interface FakeStorage {
  readonly applied: Map<string, number>;
  readonly fence: Map<string, number>;
  readonly named: Set<string>;
  isClosed: boolean;
  isDiscarded: boolean;
}

export function createFakeStorage(): FakeStorage {
  return { applied: new Map(), fence: new Map(), named: new Set(), isClosed: false, isDiscarded: false };
}

export interface FakeWorker {
  readonly id: string;
  heartbeat(): Promise<HeartbeatAnswer>;
  poll(): Promise<Assignment | null>;
  /** Does it, and gives the result that is then to be told. `undefined`: it was refused at the fence. */
  carryOut(assignment: Assignment): Promise<Record<string, unknown> | undefined>;
  tell(result: Record<string, unknown>): Promise<string>;
  readonly held: Map<string, Assignment>;
}

/** A worker that knows the whole protocol, of files that are only told of. */
export function createFakeWorker(
  id: string,
  world: {
    readonly ask: () => Ask;
    readonly storages: readonly {
      readonly id: string;
      readonly path: string;
      readonly seen_marks?: readonly string[];
    }[];
    /** Beside what it tells anyway, or instead of it. */
    readonly tells?: object;
    readonly source: readonly TransferEntry[];
    readonly target: FakeStorage;
    readonly pageEntries?: number;
    /** What it finds in a file, for a comparison. */
    readonly hashOf?: (entry: TransferEntry) => string;
    readonly abilities?: readonly string[];
  },
): FakeWorker {
  const held = new Map<string, Assignment>();
  let sequence = 0;
  const { target, source } = world;

  const list = async (assignment: Assignment): Promise<Record<string, unknown> | undefined> => {
    const { work, lease_id, attempt, request_id } = assignment;
    if (work.kind !== "list") return undefined;
    const from = work.resume_after === undefined ? 0 : source.findIndex(({ path }) => path === work.resume_after) + 1;
    const size = world.pageEntries ?? 1000;
    for (let page = work.next_page, at = from; ; page++, at += size) {
      const entries = source.slice(at, at + size);
      const isLast = at + size >= source.length;
      const body = { worker_id: id, request_id, lease_id, attempt, page, entries, is_last: isLast };
      const answer = (await world.ask()("POST", "/workers/plan", body)) as { status: string };
      if (answer.status === "stale") return undefined;
      if (isLast) return { success: true };
    }
  };

  const carryOut = async (assignment: Assignment): Promise<Record<string, unknown> | undefined> => {
    const { work, lease_id, attempt, request_id } = assignment;
    const base = { request_id, worker_id: id, lease_id, attempt };
    switch (work.kind) {
      case "list": {
        const listed = await list(assignment);
        return listed === undefined ? undefined : { ...base, ...listed };
      }
      case "copy": {
        if ((target.fence.get(work.unit) ?? 0) > attempt) return undefined;
        target.fence.set(work.unit, attempt);
        const items = work.items.map(({ entry, offset, length }) => {
          const range = `${entry.path}@${offset}+${length}`;
          if (!target.applied.has(range)) target.applied.set(range, 0);
          if (length === entry.size) target.named.add(entry.path);
          return { path: entry.path, offset, length, sha256: hashFor(range) };
        });
        return { ...base, success: true, items };
      }
      case "finish": {
        if ((target.fence.get(work.unit) ?? 0) > attempt) return undefined;
        target.fence.set(work.unit, attempt);
        const { path, size } = work.entry;
        const covered = work.ranges.reduce((end, range) => (range.offset === end ? end + range.length : -1), 0);
        if (covered !== size) throw new Error(`${path} is finished with ranges up to ${covered} of ${size}`);
        target.named.add(path);
        return { ...base, success: true, items: [{ path, offset: 0, length: size, sha256: hashFor(path) }] };
      }
      case "hash": {
        const hashOf = world.hashOf ?? (({ path, size }: TransferEntry) => hashFor(`${path}@0+${size}`));
        const items = work.items.map(({ entry, length }) => ({
          path: entry.path,
          offset: 0,
          length,
          sha256: hashOf(entry),
        }));
        return { ...base, success: true, items };
      }
      case "close":
        target.isClosed = true;
        return { ...base, success: true };
      case "discard":
        target.isDiscarded = true;
        return { ...base, success: true };
      default:
        return { ...base, success: true };
    }
  };

  return {
    id,
    held,
    heartbeat: async () => {
      const leases = [...held.values()].map(({ lease_id, attempt }) => ({
        lease_id,
        attempt,
        transferred_bytes: 1,
        rate: 1,
      }));
      const answer = await world.ask()("POST", "/workers/heartbeat", {
        worker_id: id,
        status: held.size > 0 ? "TRANSFERRING" : "IDLE",
        data_plane_endpoints: [`${id}:8470`],
        abilities: world.abilities ?? ["verify"],
        storages: world.storages.map((storage) => ({ ...storage, read: true, write: true, mark: `mark-${id}` })),
        boot_id: "b",
        ...world.tells,
        sequence: ++sequence,
        leases,
      });
      const told = answer as HeartbeatAnswer;
      for (const { lease_id } of told.revoked) held.delete(lease_id);
      return told;
    },
    poll: async () => {
      const assignment = (await world.ask()("POST", `/workers/${id}/assignment?wait=0`, {
        free: 1,
        boot_id: "b",
        leases: [...held.keys()],
      })) as Assignment | null;
      if (assignment !== null) held.set(assignment.lease_id, assignment);
      return assignment;
    },
    carryOut,
    tell: async (result) => {
      const { status } = (await world.ask()("POST", "/workers/result", result)) as { status: string };
      const items = (result["items"] ?? []) as readonly { path: string; offset: number; length: number }[];
      if (status === "ack") {
        for (const { path, offset, length } of items) {
          const range = `${path}@${offset}+${length}`;
          if (target.applied.has(range)) target.applied.set(range, (target.applied.get(range) ?? 0) + 1);
        }
      }
      held.delete(String(result["lease_id"]));
      return status;
    },
  };
}
