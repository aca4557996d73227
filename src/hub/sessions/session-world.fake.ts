import type { FakeClock } from "../../base/clock.fake.ts";
import { type SessionWish, sessionWishSchema } from "../../contract/fleet/session.ts";
import type { WorkloadStatus } from "../../contract/local-status.ts";
import { maskWorkload, unmaskWorkload } from "../../contract/mask-workload.ts";
import type { SessionDepth, SessionFacts } from "../../contract/session-status.ts";
import type { SessionWorkload } from "../../contract/workload.ts";
import { testHubContext } from "../hub-context.fake.ts";
import type { Presence } from "../life/presence.ts";
import { enrol, reportOf } from "../store/store.fake.ts";
import type { Store } from "../store/store.ts";
import { createSessionParts } from "./session-parts.ts";

/** A box that does with sessions what an agent does, in memory: one `step` is one look at its set and one report. */
export interface FakeBox {
  readonly id: string;
  /** Without an argument it takes one look at what it should run, and reports. */
  step(): Promise<void>;
  /** What runs there, asleep or not, whoever wants it. */
  readonly here: Map<string, Held>;
  /** By session: the reason for which it does not take it. */
  readonly refuses: Map<string, string>;
  /** Sessions that go to sleep of their own accord at their next look. */
  readonly unused: Set<string>;
  /** Sessions that have done their work. */
  readonly over: Set<string>;
  /** It tells what it has stopped before it says that it has taken over the set without it. */
  isBehind: boolean;
  /** As after its memory of the hub was exchanged for another: it keeps what nobody names, and tells of it. */
  facts: SessionFacts;
  /** The process of its agent. */
  run: string;
}

export interface Held {
  readonly workload: SessionWorkload;
  /** The epoch in which it was last named. */
  readonly epoch: string;
  readonly sleep:
    | { readonly depth: SessionDepth; readonly because: "asked" | "idle"; readonly turn: number }
    | undefined;
  /** Starts of it on this box. */
  readonly starts: number;
}

export const FACTS: SessionFacts = {
  platforms: [
    { platform: "docker", isReady: true, version: "26.1" },
    { platform: "process", isReady: true },
  ],
  cores: 4,
  memoryBytes: 8 * 2 ** 30,
  maxSessions: 100,
};

export async function createFakeBox(
  id: string,
  deps: { readonly store: Store; readonly clock: FakeClock },
  wish: { readonly facts?: Partial<SessionFacts>; readonly labels?: Record<string, string> } = {},
): Promise<FakeBox> {
  const { store, clock } = deps;
  await enrol(store, id, wish.labels);
  const here = new Map<string, Held>();
  const refuses = new Map<string, string>();
  const unused = new Set<string>();
  const over = new Set<string>();
  let sequence = 0;

  const settle = (asked: SessionWorkload, epoch: string, held: Held | undefined): Held => {
    // A mask that comes back means what is held.
    const { workload } = unmaskWorkload(asked, held?.workload);
    const turn = workload.power?.turn ?? 0;
    const starts = held === undefined || held.sleep !== undefined ? 1 : 0;
    const isSame = held !== undefined && JSON.stringify(held.workload.spec) === JSON.stringify(workload.spec);
    const common = { workload, epoch };
    const depth = workload.spec.hibernation ?? "stopped";
    if (workload.power?.state === "hibernated") {
      const sleep = held?.sleep ?? { depth, because: "asked" as const, turn };
      return { ...common, sleep: { ...sleep, turn }, starts: held?.starts ?? 0 };
    }
    if (held?.sleep?.because === "idle" && held.sleep.turn >= turn && isSame) return { ...held, ...common };
    if (unused.delete(workload.id)) {
      return { ...common, sleep: { depth, because: "idle", turn }, starts: held?.starts ?? 0 };
    }
    return { ...common, sleep: undefined, starts: (held?.starts ?? 0) + (isSame ? starts : 1) };
  };

  const statusOf = (held: Held, epoch: string): WorkloadStatus => {
    const { workload, sleep } = held;
    const { name, resources, power, spec } = workload;
    const cause = refuses.get(workload.id);
    const isAwake = sleep === undefined && cause === undefined;
    const unclaimed = { spec: maskWorkload(workload).spec, ...(name === undefined ? {} : { name }), resources, power };
    const url = `http://192.0.2.1:${21_000 + held.starts}`;
    return {
      id: workload.id,
      kind: "session",
      description: "",
      state:
        cause !== undefined
          ? "refused"
          : sleep !== undefined
            ? "hibernated"
            : over.has(workload.id)
              ? "ended"
              : "running",
      ...(cause === undefined ? {} : { cause }),
      generation: held.starts,
      restarts: 0,
      since: new Date(clock.wallMs()).toISOString(),
      session: {
        user: spec.user,
        platform: "docker",
        turn: workload.power?.turn ?? 0,
        ...(sleep === undefined
          ? {}
          : { sleep: { depth: sleep.depth, because: sleep.because, since: new Date(clock.wallMs()).toISOString() } }),
        ...(isAwake
          ? { endpoints: [{ name: "80", url, port: 80, protocol: "tcp", address: "192.0.2.1", hostPort: 21_000 }] }
          : {}),
        ...(held.epoch === epoch ? {} : { unclaimed }),
      },
    };
  };

  const box: FakeBox = {
    id,
    here,
    refuses,
    unused,
    over,
    isBehind: false,
    facts: { ...FACTS, ...wish.facts },
    run: "session",
    step: async () => {
      if ((await store.boxes.get(id)) === undefined) return;
      const { entries, epoch, revision } = await store.expected.get(id);
      const wanted = new Map(
        entries.flatMap(({ workload }) => (workload.kind === "session" ? [[workload.id, workload] as const] : [])),
      );
      for (const [sessionId, held] of here) {
        if (!wanted.has(sessionId) && held.epoch === epoch) here.delete(sessionId);
      }
      for (const [sessionId, workload] of wanted) here.set(sessionId, settle(workload, epoch, here.get(sessionId)));
      const report = {
        ...reportOf(id, box.run, ++sequence),
        sentAt: new Date(clock.wallMs()).toISOString(),
        applied: { epoch, revision: box.isBehind ? revision - 1 : revision },
        sessions: box.facts,
        workloads: [...here.values()].map((held) => statusOf(held, epoch)),
      };
      await store.reports.put(id, report, clock.wallMs());
      for (const listener of listeners) listener(id, report);
    },
  };
  return box;
}

/** Of all hubs in this process: what a box reports reaches one of them, and any will do. */
const listeners = new Set<(boxId: string, report: Parameters<Store["reports"]["put"]>[1]) => void>();

export type FakePresence = Pick<Presence, "of" | "onChange" | "ready"> & {
  set(boxId: string, view: ReturnType<Presence["of"]>): void;
};

export function createFakePresence(): FakePresence {
  const views = new Map<string, ReturnType<Presence["of"]>>();
  const told: Parameters<Presence["onChange"]>[0][] = [];
  const of = (boxId: string) => views.get(boxId) ?? ({ connection: "online", lastContactMs: 0 } as const);
  return {
    of,
    onChange: (listener) => void told.push(listener),
    ready: Promise.resolve(),
    set: (boxId, view) => {
      const from = of(boxId).connection;
      views.set(boxId, view);
      for (const listener of told) listener({ boxId, from, to: view.connection });
    },
  };
}

/** One hub's part in sessions, over a store that others may share. */
export function startSessionHub(
  store: Store,
  clock: FakeClock,
  wish: {
    readonly hubId?: string;
    readonly presence?: Pick<Presence, "of" | "onChange" | "ready">;
    readonly sessionsPerUser?: number;
    /** Takes what boxes report. */
    readonly isHeard?: boolean;
  } = {},
) {
  const stop = new AbortController();
  const context = testHubContext({ store, clock, hubId: wish.hubId ?? "hub-1", life: stop.signal });
  const presence = wish.presence ?? createFakePresence();
  const parts = createSessionParts({ sessionsPerUser: wish.sessionsPerUser }, { context, presence });
  if (wish.isHeard !== false) listeners.add(parts.onReport);
  const done = parts.service.run(stop.signal);
  return {
    ...parts,
    log: context.log,
    stop: async () => {
      listeners.delete(parts.onReport);
      stop.abort();
      await done;
    },
  };
}

export function wishOf(given: Partial<SessionWish> = {}): SessionWish {
  return sessionWishSchema.parse({
    id: "s-1",
    user: "ann",
    template: { image: "web:1", ports: [{ port: 80 }] },
    ...given,
  });
}
