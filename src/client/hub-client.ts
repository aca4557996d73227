import {
  type AlertRulePut,
  alertRuleViewSchema,
  alertViewSchema,
  deliveryViewSchema,
} from "../contract/fleet/alert.ts";
import { auditViewSchema } from "../contract/fleet/audit-view.ts";
import { type BoxPatchBody, boxHistoryViewSchema, boxViewSchema, overviewSchema } from "../contract/fleet/box-view.ts";
import { changePreviewSchema } from "../contract/fleet/change-preview.ts";
import { type CommandCreate, commandViewSchema } from "../contract/fleet/command-view.ts";
import {
  expectedChangeSchema,
  expectedDiffSchema,
  expectedEntryViewSchema,
  expectedViewSchema,
  fleetWorkloadViewSchema,
  type WorkloadPut,
  type WorkloadSetPut,
} from "../contract/fleet/expected-view.ts";
import { type HubEventView, hubEventPageSchema, hubEventSchema } from "../contract/fleet/hub-event.ts";
import { type LogRecord, logRecordSchema } from "../contract/fleet/log-line.ts";
import { MAX_PAGE_LIMIT, pageSchema } from "../contract/fleet/page.ts";
import { type RemoteCreate, remoteAdmissionSchema, remoteViewSchema } from "../contract/fleet/remote.ts";
import { remoteWhyViewSchema } from "../contract/fleet/remote-why.ts";
import { type RolloutPut, rolloutViewSchema } from "../contract/fleet/rollout.ts";
import { ticketKeysSchema } from "../contract/fleet/router.ts";
import { placementSchema, type SessionWish, sessionViewSchema } from "../contract/fleet/session.ts";
import { telemetryViewSchema } from "../contract/fleet/telemetry-view.ts";
import {
  type EnrolmentCreate,
  enrolmentCreatedSchema,
  enrolmentViewSchema,
  type TokenCreate,
  tokenCreatedSchema,
  tokenViewSchema,
  whoamiSchema,
} from "../contract/fleet/token.ts";
import { type TunnelCreate, tunnelViewSchema } from "../contract/fleet/tunnel.ts";
import {
  requeuedSchema,
  type SyncProgress,
  syncPageSchema,
  syncProgressSchema,
} from "../contract/transfer/sync-progress.ts";
import { type SyncRequestInput, syncAcceptedSchema } from "../contract/transfer/sync-request.ts";
import {
  type AnswerSchema,
  createHubTransport,
  type HubCall,
  type HubEndpoint,
  type HubTransport,
  type HubTransportDeps,
  hubPath,
} from "./hub-transport.ts";

export type HubQuery = NonNullable<HubCall["query"]>;

/** The hub's API, typed. Every call rejects with an `AppError` that carries the hub's code. */
export type HubClient = ReturnType<typeof createHubClient>;

/** For writes on condition: the revision that was seen. */
export interface Condition {
  readonly ifRevision?: number | undefined;
}

export interface ExpectedCondition extends Condition {
  /** Also touch what a rollout placed, and make it one's own. */
  readonly takeOver?: boolean | undefined;
}

const DRY_RUN: HubQuery = { dryRun: true };

interface Page<Item> {
  readonly items: readonly Item[];
  readonly next?: string | undefined;
}

export function createHubClient(endpoint: HubEndpoint, deps: HubTransportDeps) {
  const transport = createHubTransport(endpoint, deps);
  return {
    hub: endpoint.hub,
    whoami: (signal: AbortSignal) => transport.ask({ path: hubPath("whoami") }, whoamiSchema, signal),
    overview: (signal: AbortSignal) => transport.ask({ path: hubPath("overview") }, overviewSchema, signal),
    boxes: boxCalls(transport),
    workloads: workloadCalls(transport),
    rollouts: rolloutCalls(transport),
    tunnels: tunnelCalls(transport),
    sessions: sessionCalls(transport),
    remote: remoteCalls(transport),
    transfers: transferCalls(transport),
    enrolments: enrolmentCalls(transport),
    tokens: tokenCalls(transport),
    alerts: alertCalls(transport),
    backup: (signal: AbortSignal) => transport.download({ path: hubPath("backup") }, signal),
    audit: lister(transport, hubPath("audit"), pageSchema(auditViewSchema)),
    events: eventCalls(transport),
    logs: (box: string, query: HubQuery, signal: AbortSignal) => readLogs(transport, { box, query }, signal),
  };
}

function boxCalls(transport: HubTransport) {
  const { ask, tell } = transport;
  return {
    list: lister(transport, hubPath("boxes"), pageSchema(boxViewSchema)),
    get: (box: string, signal: AbortSignal) => ask({ path: hubPath("boxes", box) }, boxViewSchema, signal),
    history: (box: string, signal: AbortSignal) =>
      ask({ path: hubPath("boxes", box, "history") }, boxHistoryViewSchema, signal),
    telemetry: (box: string, query: HubQuery, signal: AbortSignal) =>
      ask({ path: hubPath("boxes", box, "telemetry"), query }, telemetryViewSchema, signal),
    expected: (box: string, signal: AbortSignal) =>
      ask({ path: hubPath("boxes", box, "workloads") }, expectedViewSchema, signal),
    patch: (box: string, { body, ifRevision }: Condition & { readonly body: BoxPatchBody }, signal: AbortSignal) =>
      ask({ method: "PATCH", path: hubPath("boxes", box), body, ifRevision }, boxViewSchema, signal),
    act: (box: string, verb: "approve" | "revoke" | "release", signal: AbortSignal) =>
      ask({ method: "POST", path: hubPath("boxes", box, verb) }, boxViewSchema, signal),
    forget: (box: string, signal: AbortSignal) => tell({ method: "DELETE", path: hubPath("boxes", box) }, signal),
    command: (box: string, body: CommandCreate, signal: AbortSignal) =>
      ask({ method: "POST", path: hubPath("boxes", box, "commands"), body }, commandViewSchema, signal),
  };
}

function workloadCalls(transport: HubTransport) {
  const { ask } = transport;
  const pathOf = (box: string, ...more: string[]) => hubPath("boxes", box, "workloads", ...more);
  return {
    list: lister(transport, hubPath("workloads"), pageSchema(fleetWorkloadViewSchema)),
    get: (box: string, id: string, signal: AbortSignal) =>
      ask({ path: pathOf(box, id) }, expectedEntryViewSchema, signal),
    put: (
      box: string,
      { body, ifRevision, takeOver }: ExpectedCondition & { readonly body: WorkloadPut },
      signal: AbortSignal,
    ) => {
      const path = pathOf(box, body.workload.id);
      return ask({ method: "PUT", path, query: { takeOver }, body, ifRevision }, expectedChangeSchema, signal);
    },
    remove: (
      box: string,
      { id, ifRevision, takeOver }: ExpectedCondition & { readonly id: string },
      signal: AbortSignal,
    ) =>
      ask({ method: "DELETE", path: pathOf(box, id), query: { takeOver }, ifRevision }, expectedChangeSchema, signal),
    turn: (
      box: string,
      { id, verb }: { readonly id: string; readonly verb: "hibernate" | "wake" },
      signal: AbortSignal,
    ) => ask({ method: "POST", path: pathOf(box, id, verb) }, expectedChangeSchema, signal),
    putAll: (
      box: string,
      { body, ifRevision, takeOver }: ExpectedCondition & { readonly body: WorkloadSetPut },
      signal: AbortSignal,
    ) => ask({ method: "PUT", path: pathOf(box), query: { takeOver }, body, ifRevision }, expectedChangeSchema, signal),
    /** What `putAll` would do. */
    compareAll: (
      box: string,
      { body, ifRevision }: Condition & { readonly body: WorkloadSetPut },
      signal: AbortSignal,
    ) => ask({ method: "PUT", path: pathOf(box), query: DRY_RUN, body, ifRevision }, expectedDiffSchema, signal),
  };
}

function rolloutCalls(transport: HubTransport) {
  const { ask, tell } = transport;
  return {
    list: lister(transport, hubPath("rollouts"), pageSchema(rolloutViewSchema)),
    get: (id: string, signal: AbortSignal) => ask({ path: hubPath("rollouts", id) }, rolloutViewSchema, signal),
    put: (id: string, { body, ifRevision }: Condition & { readonly body: RolloutPut }, signal: AbortSignal) =>
      ask({ method: "PUT", path: hubPath("rollouts", id), body, ifRevision }, rolloutViewSchema, signal),
    /** What `put` would do. */
    compare: (id: string, body: RolloutPut, signal: AbortSignal) =>
      ask({ method: "PUT", path: hubPath("rollouts", id), query: DRY_RUN, body }, changePreviewSchema, signal),
    remove: (id: string, { ifRevision }: Condition, signal: AbortSignal) =>
      tell({ method: "DELETE", path: hubPath("rollouts", id), ifRevision }, signal),
  };
}

function tunnelCalls(transport: HubTransport) {
  const { ask } = transport;
  const pathOf = (uid: string, ...more: string[]) => hubPath("tunnels", uid, ...more);
  return {
    list: lister(transport, hubPath("tunnels"), pageSchema(tunnelViewSchema)),
    get: (uid: string, signal: AbortSignal) => ask({ path: pathOf(uid) }, tunnelViewSchema, signal),
    create: (body: TunnelCreate, signal: AbortSignal) =>
      ask({ method: "POST", path: hubPath("tunnels"), body }, tunnelViewSchema, signal),
    put: (uid: string, { body, ifRevision }: Condition & { readonly body: TunnelCreate }, signal: AbortSignal) =>
      ask({ method: "PUT", path: pathOf(uid), body, ifRevision }, tunnelViewSchema, signal),
    /** What `put` would do. */
    compare: (uid: string, body: TunnelCreate, signal: AbortSignal) =>
      ask({ method: "PUT", path: pathOf(uid), query: DRY_RUN, body }, changePreviewSchema, signal),
    rotate: (uid: string, signal: AbortSignal) =>
      ask({ method: "POST", path: pathOf(uid, "rotate") }, tunnelViewSchema, signal),
    remove: (uid: string, { ifRevision }: Condition, signal: AbortSignal) =>
      ask({ method: "DELETE", path: pathOf(uid), ifRevision }, tunnelViewSchema, signal),
  };
}

function sessionCalls(transport: HubTransport) {
  const { ask } = transport;
  const pathOf = (id: string, ...more: string[]) => hubPath("sessions", id, ...more);
  return {
    list: lister(transport, hubPath("sessions"), pageSchema(sessionViewSchema)),
    get: (id: string, signal: AbortSignal) => ask({ path: pathOf(id) }, sessionViewSchema, signal),
    create: (body: SessionWish, signal: AbortSignal) =>
      ask({ method: "POST", path: hubPath("sessions"), body }, sessionViewSchema, signal),
    /** Where `create` would have it run. */
    preview: (body: SessionWish, signal: AbortSignal) =>
      ask({ method: "POST", path: hubPath("sessions"), query: DRY_RUN, body }, placementSchema, signal),
    put: (id: string, { body, ifRevision }: Condition & { readonly body: SessionWish }, signal: AbortSignal) =>
      ask({ method: "PUT", path: pathOf(id), body, ifRevision }, sessionViewSchema, signal),
    /** What `put` would do. */
    compare: (id: string, body: SessionWish, signal: AbortSignal) =>
      ask({ method: "PUT", path: pathOf(id), query: DRY_RUN, body }, changePreviewSchema, signal),
    turn: (id: string, verb: "hibernate" | "wake" | "touch", signal: AbortSignal) =>
      ask({ method: "POST", path: pathOf(id, verb) }, sessionViewSchema, signal),
    remove: (
      id: string,
      { volumes, ifRevision }: Condition & { readonly volumes?: "keep" | "delete" | undefined },
      signal: AbortSignal,
    ) => ask({ method: "DELETE", path: pathOf(id), query: { volumes }, ifRevision }, sessionViewSchema, signal),
  };
}

function remoteCalls(transport: HubTransport) {
  const { ask, tell } = transport;
  const pathOf = (id: string, ...more: string[]) => hubPath("remote", id, ...more);
  return {
    list: lister(transport, hubPath("remote"), pageSchema(remoteViewSchema)),
    get: (id: string, signal: AbortSignal) => ask({ path: pathOf(id) }, remoteViewSchema, signal),
    /** What holds it up. Takes seconds. */
    why: (id: string, signal: AbortSignal) => ask({ path: pathOf(id, "why") }, remoteWhyViewSchema, signal),
    /** What it answers holds a secret. */
    create: (box: string, body: RemoteCreate, signal: AbortSignal) =>
      ask({ method: "POST", path: hubPath("boxes", box, "remote"), body }, remoteAdmissionSchema, signal),
    /** A new ticket for a session whose connection broke. What it answers holds a secret. */
    rejoin: (id: string, key: string, signal: AbortSignal) =>
      ask({ method: "POST", path: pathOf(id, "rejoin"), body: { key } }, remoteAdmissionSchema, signal),
    end: (id: string, signal: AbortSignal) => tell({ method: "DELETE", path: pathOf(id) }, signal),
  };
}

function transferCalls(transport: HubTransport) {
  const { ask, tell, listen } = transport;
  // As those know them who wrote to such a hub before.
  const pathOf = (id: string, ...more: string[]) => ["/sync", ...[id, ...more].map(encodeURIComponent)].join("/");
  return {
    list: lister(transport, "/sync", syncPageSchema),
    get: (id: string, signal: AbortSignal) => ask({ path: pathOf(id) }, syncProgressSchema, signal),
    /**
     * Each change after the state that `after` names (without it the present one first), until it is over, it is taken away or the
     * connection ends. What is not understood is left out.
     */
    follow: async function* (
      id: string,
      after: string | undefined,
      signal: AbortSignal,
    ): AsyncGenerator<{ readonly transfer: SyncProgress; readonly cursor: string }> {
      const call = { path: pathOf(id), ...(after === undefined ? {} : { lastEventId: after }) };
      for await (const { event, data, id: cursor } of listen(call, signal)) {
        const progress = syncProgressSchema.safeParse(parseJson(data));
        if (event === "progress" && progress.success) yield { transfer: progress.data, cursor };
      }
    },
    create: (body: SyncRequestInput, signal: AbortSignal) =>
      ask({ method: "POST", path: "/sync", body }, syncAcceptedSchema, signal),
    retry: (id: string, signal: AbortSignal) =>
      ask({ method: "POST", path: pathOf(id, "retry") }, requeuedSchema, signal),
    /** What receipts are signed with now. */
    keys: (signal: AbortSignal) => ask({ path: hubPath("routers", "keys") }, ticketKeysSchema, signal),
    remove: (id: string, signal: AbortSignal) => tell({ method: "DELETE", path: pathOf(id) }, signal),
  };
}

function enrolmentCalls(transport: HubTransport) {
  const { ask, tell } = transport;
  return {
    list: lister(transport, hubPath("enrolments"), pageSchema(enrolmentViewSchema)),
    create: (body: EnrolmentCreate, signal: AbortSignal) =>
      ask({ method: "POST", path: hubPath("enrolments"), body }, enrolmentCreatedSchema, signal),
    remove: (id: string, signal: AbortSignal) => tell({ method: "DELETE", path: hubPath("enrolments", id) }, signal),
  };
}

function tokenCalls(transport: HubTransport) {
  const { ask, tell } = transport;
  return {
    list: lister(transport, hubPath("tokens"), pageSchema(tokenViewSchema)),
    create: (body: TokenCreate, signal: AbortSignal) =>
      ask({ method: "POST", path: hubPath("tokens"), body }, tokenCreatedSchema, signal),
    revoke: (id: string, signal: AbortSignal) => tell({ method: "DELETE", path: hubPath("tokens", id) }, signal),
  };
}

function alertCalls(transport: HubTransport) {
  const { ask, tell } = transport;
  const rule = (id: string) => hubPath("alert-rules", id);
  return {
    list: lister(transport, hubPath("alerts"), pageSchema(alertViewSchema)),
    deliveries: lister(transport, hubPath("deliveries"), pageSchema(deliveryViewSchema)),
    rules: lister(transport, hubPath("alert-rules"), pageSchema(alertRuleViewSchema)),
    putRule: (id: string, { body, ifRevision }: Condition & { readonly body: AlertRulePut }, signal: AbortSignal) =>
      ask({ method: "PUT", path: rule(id), body, ifRevision }, alertRuleViewSchema, signal),
    /** What `putRule` would do. */
    compareRule: (id: string, body: AlertRulePut, signal: AbortSignal) =>
      ask({ method: "PUT", path: rule(id), query: DRY_RUN, body }, changePreviewSchema, signal),
    removeRule: (id: string, { ifRevision }: Condition, signal: AbortSignal) =>
      tell({ method: "DELETE", path: rule(id), ifRevision }, signal),
  };
}

function eventCalls({ ask, listen }: HubTransport) {
  return {
    page: (query: HubQuery, signal: AbortSignal) => ask({ path: hubPath("events"), query }, hubEventPageSchema, signal),
    /** Events after the cursor (without one: from now on), until the connection ends. What is not understood is left out. */
    follow: async function* (after: string | undefined, signal: AbortSignal): AsyncGenerator<HubEventView> {
      const call = { path: hubPath("events"), ...(after === undefined ? {} : { lastEventId: after }) };
      for await (const { data } of listen(call, signal)) {
        const event = hubEventSchema.safeParse(parseJson(data));
        if (event.success) yield event.data;
      }
    },
  };
}

/** Lines and gaps as the box sends them, until an `end`. */
async function* readLogs(
  { listen }: HubTransport,
  { box, query }: { readonly box: string; readonly query: HubQuery },
  signal: AbortSignal,
): AsyncGenerator<LogRecord> {
  for await (const { event, data } of listen({ path: hubPath("boxes", box, "logs"), query }, signal)) {
    const content = parseJson(data);
    const record = logRecordSchema.safeParse({ ...(typeof content === "object" ? content : {}), type: event });
    if (!record.success) continue;
    yield record.data;
    if (record.data.type === "end") return;
  }
}

/** Walks a paged list, page by page, as far as its reader reads. `limit` bounds the items, not the page. */
function lister<Item>({ ask }: HubTransport, path: string, schema: AnswerSchema<Page<Item>>) {
  return async function* (query: HubQuery, signal: AbortSignal): AsyncGenerator<Item> {
    const { limit: most = Number.POSITIVE_INFINITY, ...filters } = query;
    let left = Number(most);
    let after = filters["after"];
    while (left > 0) {
      const limit = Math.min(left, MAX_PAGE_LIMIT);
      const page: Page<Item> = await ask({ path, query: { ...filters, after, limit } }, schema, signal);
      yield* page.items;
      left -= page.items.length;
      if (page.next === undefined) return;
      after = page.next;
    }
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
