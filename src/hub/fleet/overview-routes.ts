import { type Overview, overviewSchema } from "../../contract/fleet/box-view.ts";
import {
  type FleetWorkloadView,
  fleetWorkloadQuerySchema,
  fleetWorkloadViewSchema,
} from "../../contract/fleet/expected-view.ts";
import { pageSchema } from "../../contract/fleet/page.ts";
import { matchesSelector } from "../../contract/fleet/selector.ts";
import type { SessionState } from "../../contract/fleet/session.ts";
import { type Route, route } from "../http/route.ts";
import type { HubContext } from "../hub-context.ts";
import { countSessions } from "../sessions/session-view.ts";
import type { Box } from "../store/box.ts";
import type { BoxReader } from "./box-reader.ts";
import { statusesOf } from "./box-reader.ts";
import { requirementsOf } from "./box-routes.ts";
import { entryView } from "./expected-routes.ts";
import { isoOf } from "./write-of.ts";

const BOXES_AT_ONCE = 100;
/** Counting a fleet reads every box: many who watch share one count, and it takes at most this part of the time. */
const MIN_COUNT_AGE_MS = 1000;
const COUNT_SHARE = 20;

/** What is asked of the whole fleet. */
export function createOverviewRoutes(
  context: HubContext,
  { reader }: { readonly reader: BoxReader },
): readonly Route[] {
  const { store, clock } = context;
  let counted: { readonly untilMs: number; readonly counts: Promise<Omit<Overview, "hub">> } | undefined;

  async function* allBoxes(labels?: string, from?: string): AsyncGenerator<Box> {
    const filter = { labels: requirementsOf(labels) };
    for (let after = from; ; ) {
      const page = await store.boxes.list(filter, { after, limit: BOXES_AT_ONCE });
      yield* page.items;
      if (page.next === undefined) return;
      after = page.next;
    }
  }

  const countAll = async (): Promise<Omit<Overview, "hub">> => {
    const counts = emptyCounts();
    for await (const box of allBoxes()) {
      const { view, set } = await reader.read(box);
      counts.boxes.total++;
      if (view.state !== "approved") counts.boxes[view.state]++;
      if (view.draining) counts.boxes.draining++;
      if (view.quarantine !== undefined) counts.boxes.quarantined++;
      counts.boxes[view.connection]++;
      counts.workloads.expected += set.entries.length;
      counts.workloads.hibernated += set.entries.filter(({ desired }) => desired === "hibernated").length;
      counts.workloads.running += view.workloads.running;
      counts.workloads.unwell += view.workloads.unwell;
      counts.incidents += view.incidents.length;
    }
    const sessions = sessionCounts(await countSessions(store));
    for (let after: string | undefined; ; ) {
      const page = await store.alerts.list({ after, limit: 1000 });
      counts.alerts.firing += page.items.filter(({ phase }) => phase === "firing" || phase === "clearing").length;
      if (page.next === undefined) return { ...counts, sessions };
      after = page.next;
    }
  };

  const count = (): Promise<Omit<Overview, "hub">> => {
    const beganMs = clock.monotonicMs();
    if (counted !== undefined && counted.untilMs > beganMs) return counted.counts;
    const counts = countAll();
    counted = { untilMs: Number.POSITIVE_INFINITY, counts };
    counts.then(
      () => {
        const tookMs = clock.monotonicMs() - beganMs;
        counted = { untilMs: clock.monotonicMs() + Math.max(MIN_COUNT_AGE_MS, tookMs * COUNT_SHARE), counts };
      },
      () => {
        counted = undefined;
      },
    );
    return counts;
  };

  return [
    route({
      method: "GET",
      path: "/v1/overview",
      access: "viewer",
      summary: "The fleet in numbers",
      answer: overviewSchema,
      handle: async () => ({
        ...(await count()),
        hub: { id: context.hubId, version: context.version, now: isoOf(clock.wallMs()) },
      }),
    }),
    route({
      method: "GET",
      path: "/v1/workloads",
      access: "viewer",
      summary: "Workloads of all boxes",
      query: fleetWorkloadQuerySchema,
      answer: pageSchema(fleetWorkloadViewSchema),
      handle: async ({ query }) => {
        const [afterBox = "", afterId = ""] = query.after?.split("/") ?? [];
        const items: FleetWorkloadView[] = [];
        const collect = async (box: Box, afterWorkload: string): Promise<boolean> => {
          const { set, report } = await reader.read(box);
          const statuses = statusesOf(report);
          for (const entry of set.entries) {
            if (entry.workload.id <= afterWorkload) continue;
            const view = { ...entryView(entry, statuses), box: box.id, boxName: box.name };
            if (!matches(view, query)) continue;
            if (items.length === query.limit) return true;
            items.push(view);
          }
          return false;
        };
        const more = () => {
          const last = items.at(-1);
          return { items, ...(last === undefined ? {} : { next: `${last.box}/${last.workload.id}` }) };
        };
        const first = afterBox === "" ? undefined : await store.boxes.get(afterBox);
        const isFirstWanted = first !== undefined && matchesSelector(first.labels, requirementsOf(query.labels));
        if (isFirstWanted && (await collect(first, afterId))) return more();
        for await (const box of allBoxes(query.labels, afterBox === "" ? undefined : afterBox)) {
          if (await collect(box, "")) return more();
        }
        return { items };
      },
    }),
  ];
}

function matches(
  { workload, desired, status }: FleetWorkloadView,
  { state, text }: { readonly state?: string | undefined; readonly text?: string | undefined },
): boolean {
  const wanted = text?.toLowerCase();
  const stands = desired === "hibernated" ? "hibernated" : (status?.state ?? "unknown");
  return (
    (state === undefined || state === stands) &&
    (wanted === undefined ||
      workload.id.toLowerCase().includes(wanted) ||
      (workload.name?.toLowerCase().includes(wanted) ?? false))
  );
}

function sessionCounts(counts: Readonly<Record<SessionState, number>>) {
  const { running, hibernated, unplaced, degraded, failing, refused, lost } = counts;
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return { total, running, hibernated, unplaced, unwell: degraded + failing + refused + lost };
}

function emptyCounts() {
  return {
    boxes: {
      total: 0,
      pending: 0,
      revoked: 0,
      draining: 0,
      quarantined: 0,
      online: 0,
      degraded: 0,
      offline: 0,
      never: 0,
    },
    workloads: { expected: 0, hibernated: 0, running: 0, unwell: 0 },
    alerts: { firing: 0 },
    incidents: 0,
  };
}
