import type { SyncRequest } from "../../contract/transfer/sync-request.ts";
import { pathBelow } from "../../contract/transfer/transfer-path.ts";
import type { WorkerAbility } from "../../contract/transfer/worker-ability.ts";
import type { WorkerStorage } from "../../contract/transfer/worker-heartbeat.ts";
import type { Side } from "./transfer-record.ts";
import { isOfBox, isPlain, isSameStorage, storagesOf, storageWith, type Worker } from "./worker-record.ts";

export type Access = "read" | "write";

export interface SideWish {
  /** `source`, for sentences. */
  readonly name: "source" | "destination";
  readonly path: string;
  readonly box: string | undefined;
  readonly access: Access;
  readonly needs: readonly WorkerAbility[];
}

/** Of the storages that a box has instead. */
const TOLD_ROOTS = 5;

export function wishesOf(request: SyncRequest): { readonly source: SideWish; readonly destination: SideWish } {
  const isVerify = request.mode === "verify";
  const needs: readonly WorkerAbility[] = [
    ...(isVerify ? (["verify"] as const) : []),
    ...(request.preserve.includes("xattrs") ? (["xattrs"] as const) : []),
    ...(request.preserve.includes("privileged-xattrs") ? (["privileged-xattrs"] as const) : []),
  ];
  return {
    source: { name: "source", path: request.source_path, box: request.source_box, access: "read", needs },
    destination: {
      name: "destination",
      path: request.destination_path,
      box: request.destination_box,
      access: isVerify ? "read" : "write",
      needs,
    },
  };
}

/** Why a worker without the ability has none of the work. */
const LACKING: Readonly<Record<WorkerAbility, string>> = {
  verify: "its version cannot compare",
  xattrs: "cannot do extended attributes: it lacks getfattr and setfattr (package attr), or is of an older version",
  "privileged-xattrs": "cannot do privileged extended attributes: it is not root, or lacks getfattr and setfattr",
};

/** Pure. The first that it lacks. */
function lackOf({ heartbeat }: Worker, needs: readonly WorkerAbility[]): string | undefined {
  const lacking = needs.find((need) => !heartbeat.abilities.includes(need));
  return lacking === undefined ? undefined : LACKING[lacking];
}

/** How near it came: nobody is there, nobody has it, who has it cannot. */
const NEAR = { nobody: 0, noStorage: 1, holder: 2 } as const;

export type SideChoice = { readonly side: Side } | { readonly problem: string; readonly near: number };

/** Pure. The one storage that is meant, or why there is none at the moment. `isActive`: heard lately. */
export function chooseSide(
  wish: SideWish,
  workers: readonly Worker[],
  { isActive, mode }: { readonly isActive: (worker: Worker) => boolean; readonly mode: "full" | "plain" },
): SideChoice {
  const fitting = workers.filter(
    (worker) => (mode === "plain") === isPlain(worker) && (wish.box === undefined || isOfBox(worker.id, wish.box)),
  );
  const holders = fitting.flatMap((worker) => {
    const found = storageWith(worker, wish.path);
    return found === undefined ? [] : [{ worker, ...found }];
  });
  const usable = holders.filter(
    ({ worker, storage }) => storage[wish.access] && isActive(worker) && lackOf(worker, wish.needs) === undefined,
  );
  const [first] = usable;
  if (first === undefined) return whyNone(wish, fitting, holders);
  const others = usable.filter(
    ({ worker, storage, path }) =>
      worker.id !== first.worker.id && !(path === first.path && isReachedFrom(first, { worker, storage }, holders)),
  );
  const [other] = others;
  if (other !== undefined) {
    return {
      near: NEAR.holder,
      problem: `the storages of ${first.worker.id} and ${other.worker.id} both have ${wish.path}, and are not known to be one: name ${wish.name}_box`,
    };
  }
  return { side: { storage: first.storage.id, path: first.path, anchor: first.worker.id } };
}

interface Holder {
  readonly worker: Worker;
  readonly storage: WorkerStorage;
}

/** Whether both are one storage, by any chain of workers of which one sees what the other left. */
function isReachedFrom(from: Holder, to: Holder, holders: readonly Holder[]): boolean {
  const reached = new Set([from.worker.id]);
  for (const frontier = [from]; frontier.length > 0; ) {
    const at = frontier.pop() ?? from;
    if (at.worker.id === to.worker.id) return true;
    for (const holder of holders) {
      if (reached.has(holder.worker.id) || !isSameStorage(at.storage, holder.storage)) continue;
      reached.add(holder.worker.id);
      frontier.push(holder);
    }
  }
  return false;
}

function whyNone(
  wish: SideWish,
  fitting: readonly Worker[],
  holders: readonly Holder[],
): Extract<SideChoice, { readonly near: number }> {
  const where = wish.box === undefined ? "" : ` of box ${wish.box}`;
  if (fitting.length === 0) {
    const problem = `no worker${where} has ever been heard: a box has one once its configuration names transfer.storages`;
    return { near: NEAR.nobody, problem };
  }
  const [holder] = holders;
  if (holder === undefined) {
    const away = awayFrom(wish, fitting);
    if (away !== undefined) return { near: NEAR.holder, problem: away };
    const roots = wish.box === undefined ? [] : fitting.flatMap(({ heartbeat }) => storagesOf(heartbeat));
    const has = roots.length === 0 ? "" : `; it has ${listed([...new Set(roots.map(({ path }) => path))])}`;
    return {
      near: NEAR.noStorage,
      problem: `no worker${where} has a storage with the ${wish.name} ${wish.path}${has}`,
    };
  }
  return { near: NEAR.holder, problem: whyUnusable(wish, holder, holders) };
}

/** Somebody should have it, and says why not. */
function awayFrom({ path }: SideWish, workers: readonly Worker[]): string | undefined {
  for (const { id, heartbeat } of workers) {
    const found = heartbeat.storage_problems.find((one) => pathBelow(one.path, path) !== undefined);
    if (found !== undefined) return `${id} has ${found.path}, which cannot be used now: ${found.problem}`;
  }
  return undefined;
}

function listed(paths: readonly string[]): string {
  const more = paths.length - TOLD_ROOTS;
  return `${paths.slice(0, TOLD_ROOTS).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

function whyUnusable(wish: SideWish, holder: Holder, holders: readonly Holder[]): string {
  const allowed = holders.find(({ storage }) => storage[wish.access]);
  if (allowed === undefined) return `${holder.worker.id} has ${wish.path}, and may not ${wish.access} it`;
  const { quarantine } = allowed.worker;
  if (quarantine !== undefined)
    return `${allowed.worker.id}, which has ${wish.path}, failed too often: ${quarantine.cause}`;
  const lack = lackOf(allowed.worker, wish.needs);
  if (lack !== undefined) return `${allowed.worker.id} has ${wish.path}, and ${lack}`;
  return `${allowed.worker.id}, which has ${wish.path}, is not heard`;
}

/** Pure. Why a transfer cannot begin, and how near it came to it; `undefined`: it can. */
export function whyNotBegun(source: SideChoice, destination: SideChoice) {
  if ("problem" in source) return source;
  // That its source is there is nearer than anything that is said of a source.
  return "problem" in destination ? { ...destination, near: destination.near + NEAR.holder + 1 } : undefined;
}

export interface PoolMember {
  readonly worker: Worker;
  readonly storage: WorkerStorage;
}

/** Pure. Who can work on one side now. */
export function poolOf(
  side: Side,
  workers: readonly Worker[],
  want: {
    readonly access: Access;
    readonly box: string | undefined;
    readonly needs: readonly WorkerAbility[];
    readonly isActive: (worker: Worker) => boolean;
  },
): readonly PoolMember[] {
  const holders = workers.flatMap((worker): PoolMember[] =>
    storagesOf(worker.heartbeat).flatMap((storage) => (storage.id === side.storage ? [{ worker, storage }] : [])),
  );
  const anchor = holders.find(({ worker }) => worker.id === side.anchor);
  return holders.filter(
    (holder) =>
      holder.storage[want.access] &&
      want.isActive(holder.worker) &&
      lackOf(holder.worker, want.needs) === undefined &&
      (want.box === undefined || isOfBox(holder.worker.id, want.box)) &&
      (holder.worker.id === side.anchor || (anchor !== undefined && isReachedFrom(anchor, holder, holders))),
  );
}

export interface Turn {
  readonly id: string;
  readonly priority: SyncRequest["priority"];
  /** Leases that are out. */
  readonly leases: number;
  readonly createdMs: number;
}

const RANK = { high: 0, normal: 1, low: 2 } as const;

/** Pure. The less, the more urgent. */
export function rankOf(priority: SyncRequest["priority"]): number {
  return RANK[priority];
}

/** Pure. Who is served first: by priority, then who has least, then who came first. */
export function inOrder<Item extends Turn>(turns: readonly Item[]): readonly Item[] {
  return [...turns].sort(
    (one, other) =>
      RANK[one.priority] - RANK[other.priority] ||
      one.leases - other.leases ||
      one.createdMs - other.createdMs ||
      (one.id < other.id ? -1 : 1),
  );
}

/** Pure. Bytes a second for each of so many leases. */
export function shareOf(bandwidthMbps: number | undefined, leases: number): number | undefined {
  return bandwidthMbps === undefined ? undefined : (bandwidthMbps * 125_000) / Math.max(1, leases);
}
