import { z } from "zod";
import { AppError } from "../../base/errors.ts";
import {
  assignmentAskSchema,
  assignmentSchema,
  MAX_ASSIGNMENT_WAIT_SECONDS,
} from "../../contract/transfer/assignment.ts";
import { MAX_PAGES_AT_ONCE, planPageSchema, planPageViewSchema } from "../../contract/transfer/plan-page.ts";
import { syncProgressSchema, workerInventorySchema } from "../../contract/transfer/sync-progress.ts";
import { requestIdSchema } from "../../contract/transfer/sync-request.ts";
import { ENTRY_TYPES, type TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import { resultAnswerSchema, transferResultSchema } from "../../contract/transfer/transfer-result.ts";
import {
  heartbeatAnswerSchema,
  workerHeartbeatSchema,
  workerIdSchema,
} from "../../contract/transfer/worker-heartbeat.ts";
import { isoOf } from "../fleet/write-of.ts";
import { type Caller, type Route, route } from "../http/route.ts";
import { notFound } from "../store/store-error.ts";
import { createHeartbeatIntake } from "./heartbeat-intake.ts";
import type { LeaseDesk } from "./lease-desk.ts";
import { owedFor, owedWith } from "./owed-requests.ts";
import { createPlanIntake } from "./plan-intake.ts";
import { createResultIntake } from "./result-intake.ts";
import type { TransferHall } from "./transfer-hall.ts";
import type { Transfer } from "./transfer-record.ts";
import type { ViewTransfer } from "./transfer-view.ts";
import { isOfBox, type Worker } from "./worker-record.ts";
import { createYielding } from "./yield-lease.ts";

const workerPathSchema = z.object({ id: workerIdSchema });
const waitSchema = z.object({
  wait: z.coerce
    .number()
    .min(0)
    .max(MAX_ASSIGNMENT_WAIT_SECONDS)
    .default(1)
    .describe("Seconds until null is answered where there is nothing to do."),
});
const inventoryQuerySchema = z.object({ status: z.enum(["active", "inactive"]).optional() });
const planPathSchema = z.object({ id: requestIdSchema });
const planQuerySchema = z.object({
  page: z.coerce.number().int().min(0),
  pages: z.coerce.number().int().min(1).max(MAX_PAGES_AT_ONCE).default(1).describe("How many, from that one on."),
  only: z.enum(ENTRY_TYPES).optional(),
});

/** A thousand entries with long names. */
const MAX_PAGE_BYTES = 16 * 1024 * 1024;
const MAX_RESULT_BYTES = 16 * 1024 * 1024;
/** Also without a ring, something may have run out. */
const LOOK_AGAIN_MS = 1000;

export interface WorkerRoutesDeps {
  readonly hall: TransferHall;
  readonly desk: LeaseDesk;
  readonly view: ViewTransfer;
}

/** `/workers`: heartbeats, work and what became of it. */
export function createWorkerRoutes({ hall, desk, view }: WorkerRoutesDeps): readonly Route[] {
  const { book, workers, pieces, wake, watch, clock } = hall;
  const takePage = createPlanIntake(hall);
  const takeResult = createResultIntake(hall);
  const yielding = createYielding(hall);
  const takeHeartbeat = createHeartbeatIntake(hall, yielding);
  const ready = () => Promise.all([book.ready(), workers.ready()]);

  const requireWorker = (id: string): Worker => {
    const worker = workers.get(id);
    if (worker === undefined) throw notFound("worker", id);
    return worker;
  };

  return [
    route({
      method: "POST",
      path: "/workers/heartbeat",
      hasNoSecrets: true,
      access: "worker",
      summary: "A worker is there, with what it has; renews the leases that it names",
      body: workerHeartbeatSchema,
      answer: heartbeatAnswerSchema,
      handle: async ({ body, caller }) => {
        requireOneself(caller, body.worker_id);
        const isNew = workers.get(body.worker_id) === undefined;
        const answer = await takeHeartbeat(body);
        if (isNew) wake.ring();
        return answer;
      },
    }),
    route({
      method: "GET",
      path: "/workers",
      access: "viewer",
      summary: "Workers, those that are heard and those that are not",
      query: inventoryQuerySchema,
      answer: workerInventorySchema,
      handle: async ({ query: { status } }) => {
        await ready();
        const all = workers.all().map((worker) => ({ isActive: workers.isActive(worker), shown: shownWorker(worker) }));
        const pick = (isActive: boolean) => all.filter((one) => one.isActive === isActive).map(({ shown }) => shown);
        return {
          active: status === "inactive" ? [] : pick(true),
          inactive: status === "active" ? [] : pick(false),
        };
      },
    }),
    route({
      method: "POST",
      path: "/workers/{id}/assignment",
      hasNoSecrets: true,
      access: "worker",
      summary: "The next piece of work for a worker, or null; waits for one",
      params: workerPathSchema,
      query: waitSchema,
      body: assignmentAskSchema.default({ free: 1 }),
      answer: assignmentSchema.nullable(),
      isSentAsItIs: true,
      owed: ({ answer }) => owedWith(answer ?? undefined),
      handle: async ({ params: { id }, query: { wait }, body, caller, signal }) => {
        requireOneself(caller, id);
        await ready();
        requireWorker(id);
        yielding.asked(id, body.free);
        // Of another process it says nothing.
        const isPresent = body.boot_id !== undefined && body.boot_id === workers.get(id)?.heartbeat.boot_id;
        const held = isPresent && body.leases !== undefined ? new Set(body.leases) : undefined;
        if (held !== undefined) watch.has(id, held);
        const untilMs = clock.monotonicMs() + wait * 1000;
        for (;;) {
          const assignment = await desk.pick({ ...requireWorker(id), held }, body.free === 0 ? "serves" : undefined);
          const leftMs = untilMs - clock.monotonicMs();
          if (assignment !== undefined || leftMs <= 0 || signal.aborted) return assignment ?? null;
          await wake.wait(Math.min(leftMs, LOOK_AGAIN_MS), signal).catch(() => undefined);
        }
      },
    }),
    route({
      method: "GET",
      path: "/workers/{id}/requests",
      access: "viewer",
      summary: "What a worker works on",
      params: workerPathSchema,
      answer: z.array(syncProgressSchema),
      handle: async ({ params: { id } }) => {
        await ready();
        requireWorker(id);
        const mine = book.all().filter(({ uid }) => watch.of(uid).some(({ worker }) => worker === id));
        return Promise.all(mine.map(view));
      },
    }),
    route({
      method: "POST",
      path: "/workers/plan",
      access: "worker",
      summary: "The next page of what a worker has listed",
      body: planPageSchema,
      maxBodyBytes: MAX_PAGE_BYTES,
      answer: resultAnswerSchema,
      handle: async ({ body, caller }) => {
        requireOneself(caller, body.worker_id);
        await ready();
        return takePage(body);
      },
    }),
    route({
      method: "GET",
      path: "/workers/plan/{id}",
      access: "worker",
      summary: "Pages of what is to be at the destination, for who closes a transfer",
      params: planPathSchema,
      query: planQuerySchema,
      answer: planPageViewSchema,
      handle: async ({ params: { id }, query: { page, pages: most, only }, caller }) => {
        await ready();
        // Its lease, and the plan, may be from another hub: of those the store tells.
        const mayRead = ({ uid, close }: Transfer, boxId: string) =>
          [close, ...watch.of(uid)].some(({ worker }) => worker !== undefined && isOfBox(worker, boxId));
        const known = book.known(id);
        const isEnough =
          known !== undefined && page < known.list.pieces && (caller.kind !== "box" || mayRead(known, caller.boxId));
        const transfer = isEnough ? known : await book.get(id);
        if (transfer === undefined) throw notFound("request", id);
        if (caller.kind === "box" && !mayRead(transfer, caller.boxId)) {
          throw new AppError("refused", `box ${caller.boxId} has no lease of request ${id}`);
        }
        if (page >= transfer.list.pieces) throw notFound("page", String(page));
        const found: TransferEntry[] = [];
        const end = Math.min(page + most, transfer.list.pieces);
        for (let at = page; at < end; at++) {
          const { piece } = await pieces.load(transfer, at);
          for (const entry of piece.entries) if (only === undefined || entry.type === only) found.push(entry);
        }
        return { page, pages: end - page, entries: found };
      },
    }),
    route({
      method: "POST",
      path: "/workers/result",
      hasNoSecrets: true,
      access: "worker",
      summary: "What became of a piece of work; each is taken once",
      body: transferResultSchema,
      maxBodyBytes: MAX_RESULT_BYTES,
      answer: resultAnswerSchema,
      owed: ({ body, answer }) => owedFor(body, answer?.status),
      handle: async ({ body, caller }) => {
        requireOneself(caller, body.worker_id);
        await ready();
        return takeResult(body);
      },
    }),
  ];
}

/** With the key of a box only as a worker of that box; an operator's token may act as any. */
function requireOneself(caller: Caller, workerId: string): void {
  if (caller.kind !== "box" || isOfBox(workerId, caller.boxId)) return;
  throw new AppError(
    "refused",
    `worker_id: box ${caller.boxId} may act as ${caller.boxId} or ${caller.boxId}.NAME only`,
    {
      field: "worker_id",
    },
  );
}

function shownWorker({ heartbeat, heardMs, quarantine }: Worker) {
  return {
    ...heartbeat,
    heard_at: isoOf(heardMs),
    ...(quarantine === undefined ? {} : { kept_apart: { until: isoOf(quarantine.untilMs), cause: quarantine.cause } }),
  };
}
