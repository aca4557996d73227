import { createHash } from "node:crypto";
import { z } from "zod";
import { AppError } from "../../base/errors.ts";
import { MAX_PAGE_LIMIT } from "../../contract/fleet/page.ts";
import {
  reassignedSchema,
  reassignSchema,
  requeuedSchema,
  SYNC_STATES,
  type SyncProgress,
  syncProgressSchema,
} from "../../contract/transfer/sync-progress.ts";
import { requestIdSchema, syncAcceptedSchema, syncRequestSchema } from "../../contract/transfer/sync-request.ts";
import { createEventSink } from "../events/event-sink.ts";
import { encodeBeat, encodeEvent } from "../events/frame.ts";
import { type Call, type Route, route, type Wire, withoutSecrets } from "../http/route.ts";
import { notFound } from "../store/store-error.ts";
import { createTransferFollower, WATCH_BEAT_MS } from "./follow-transfer.ts";
import type { TransferDesk } from "./transfer-desk.ts";
import type { TransferHall } from "./transfer-hall.ts";
import { isOver, type Transfer } from "./transfer-record.ts";
import type { ViewTransfer } from "./transfer-view.ts";

const pathSchema = z.object({ id: requestIdSchema });
const listQuerySchema = z.object({
  after: z.string().max(128).optional().describe("The request_id of the last one of the page before."),
  limit: z.coerce.number().int().min(1).max(MAX_PAGE_LIMIT).default(MAX_PAGE_LIMIT),
  state: z.enum(SYNC_STATES).optional(),
  order: z.enum(["id", "recent"]).default("id").describe("recent: what goes on first, then what ended last."),
});
const deletedSchema = z.object({
  status: z.literal("deleted"),
  request_id: z.string(),
  is_confirmed: z
    .boolean()
    .describe("False: workers still remove what they staged; until then it is shown as CANCELLED."),
});

const MAX_BODY_BYTES = 8 * 1024 * 1024;
const MAX_WAITING_BYTES = 256 * 1024;
/** What a browser waits before it comes back. */
const RETRY_MS = 1000;
const WATCH_BEGIN = Buffer.from(`retry: ${RETRY_MS}\n${encodeBeat(WATCH_BEAT_MS)}`);
const WATCH_BEAT = Buffer.from(encodeBeat(WATCH_BEAT_MS));

export interface SyncRoutesDeps {
  readonly hall: TransferHall;
  readonly desk: TransferDesk;
  readonly view: ViewTransfer;
}

/** `/sync`: what people ask for and look at. */
export function createSyncRoutes({ hall, desk, view }: SyncRoutesDeps): readonly Route[] {
  const { book, workers, clock } = hall;
  const ready = () => Promise.all([book.ready(), workers.ready()]);

  const find = async (id: string): Promise<Transfer> => {
    await ready();
    const transfer = book.known(id) ?? (await book.get(id));
    if (transfer === undefined) throw notFound("request", id);
    return transfer;
  };

  const follower = createTransferFollower({ book, find, view, clock });

  /** The id of an event is the tag of the state that it tells: who comes back with it is told again only what differs. */
  const follow = async (id: string, call: Pick<Call, "signal" | "lastEventId">, { response }: Wire) => {
    const { first, watch } = await follower(id);
    let told = call.lastEventId;
    if (told !== undefined && first.isOver && told === tagOf(JSON.stringify(first.shown))) {
      // It knows the end: no content is what ends an `EventSource`.
      response.writeHead(204).end();
      return;
    }
    const sink = createEventSink(response, { maxWaitingBytes: MAX_WAITING_BYTES });
    const over = new AbortController();
    const end = () => sink.close("end");
    response.on("error", () => response.destroy());
    response.once("close", () => over.abort());
    call.signal.addEventListener("abort", end, { once: true });
    const send = (event: string, tag: string | undefined, data: string) =>
      sink.send(Buffer.from(encodeEvent({ event, id: tag, data })));
    sink.open();
    sink.send(WATCH_BEGIN);
    await watch({
      progress: (shown) => {
        const text = JSON.stringify(shown);
        const tag = tagOf(text);
        if (tag !== told) send("progress", tag, text);
        told = tag;
      },
      beat: () => sink.send(WATCH_BEAT),
      gone: () => send("gone", undefined, JSON.stringify({ request_id: id })),
      signal: AbortSignal.any([call.signal, over.signal]),
    });
    end();
  };

  return withoutSecrets([
    route({
      method: "POST",
      path: "/sync",
      access: "operator",
      summary: "Ask for a transfer; the same request_id with the same body is the same request",
      body: syncRequestSchema,
      maxBodyBytes: MAX_BODY_BYTES,
      answer: syncAcceptedSchema,
      status: 202,
      handle: async (call) => {
        await ready();
        const { id } = await desk.submit(call.body, call);
        return { status: "queued" as const, request_id: id };
      },
    }),
    route({
      method: "GET",
      path: "/sync",
      access: "viewer",
      summary: "Transfers, in the order of their ids with Link: rel=next where there are more",
      query: listQuerySchema,
      answer: z.array(syncProgressSchema),
      streamType: "application/json",
      stream: async (call, wire) => {
        await ready();
        const { after = "", limit, state, order } = call.query;
        if (order !== "id" && after !== "") {
          const given = JSON.stringify(after);
          throw new AppError("invalid", `after: given ${given}; allowed: only in the order of ids`, { field: "after" });
        }
        const all = book.all().filter(({ id }) => id > after);
        all.sort(order === "id" ? byId : byRecency);
        const shown: SyncProgress[] = [];
        for (const transfer of all) {
          const one = await view(transfer);
          if (state === undefined || one.state === state) shown.push(withoutDifferences(one));
          if (shown.length > limit) break;
        }
        const page = shown.slice(0, limit);
        const isMore = order === "id" && shown.length > limit;
        const last = page.at(-1)?.request_id;
        const query = new URLSearchParams({
          limit: String(limit),
          after: last ?? "",
          ...(state === undefined ? {} : { state }),
        });
        sendJson(wire, page, isMore ? { link: `</sync?${query.toString()}>; rel="next"` } : {});
      },
    }),
    route({
      method: "GET",
      path: "/sync/{id}",
      access: "viewer",
      summary:
        "How a transfer goes; with If-None-Match, or as server-sent events (after Last-Event-ID) for who accepts text/event-stream",
      params: pathSchema,
      answer: syncProgressSchema,
      stream: async (call, wire) => {
        const accepted = wire.request.headers.accept ?? "";
        if (accepted.includes("text/event-stream")) await follow(call.params.id, call, wire);
        else sendJson(wire, await view(await find(call.params.id)), {});
      },
    }),
    route({
      method: "DELETE",
      path: "/sync/{id}",
      access: "operator",
      summary: "Cancel a transfer, or forget one that is over; then it is 404",
      params: pathSchema,
      answer: deletedSchema,
      handle: async (call) => {
        await ready();
        const { isGone } = await desk.cancel(call.params.id, call);
        return { status: "deleted" as const, request_id: call.params.id, is_confirmed: isGone };
      },
    }),
    route({
      method: "POST",
      path: "/sync/{id}/retry",
      access: "operator",
      summary: "Try again what has failed; what is there is kept",
      params: pathSchema,
      answer: requeuedSchema,
      handle: async (call) => {
        await ready();
        await desk.retry(call.params.id, call);
        return { status: "requeued" as const, request_id: call.params.id };
      },
    }),
    route({
      method: "POST",
      path: "/sync/{id}/reassign",
      access: "operator",
      summary: "Give a transfer that waits or has failed to another worker",
      params: pathSchema,
      body: reassignSchema,
      answer: reassignedSchema,
      handle: async (call) => {
        await ready();
        await desk.reassign(call.params.id, call.body.worker_id, call);
        return { status: "requeued" as const, request_id: call.params.id, worker_id: call.body.worker_id };
      },
    }),
  ]);
}

/** They may be many; of a list only the counts are wanted. */
function withoutDifferences({ comparison, ...rest }: SyncProgress): SyncProgress {
  if (comparison === undefined) return rest;
  const { differences: _, ...counts } = comparison;
  return { ...rest, comparison: counts };
}

/** Names one state: as `ETag`, and as id of an event. */
function tagOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url").slice(0, 27);
}

function sendJson({ request, response }: Wire, body: unknown, headers: Readonly<Record<string, string>>): void {
  const text = JSON.stringify(body);
  const etag = `"${tagOf(text)}"`;
  const asked = (request.headers["if-none-match"] ?? "").split(",").map((tag) => tag.trim().replace(/^W\//, ""));
  const isSame = asked.includes(etag) || asked.includes("*");
  response.writeHead(isSame ? 304 : 200, {
    ...headers,
    etag,
    ...(isSame ? {} : { "content-type": "application/json; charset=utf-8", "content-length": Buffer.byteLength(text) }),
  });
  response.end(isSame ? undefined : text);
}

function byId(one: Transfer, other: Transfer): number {
  return one.id < other.id ? -1 : 1;
}

/** What goes on first, what was asked for last before what was asked for earlier; then by when it ended. */
function byRecency(one: Transfer, other: Transfer): number {
  const [oneOver, otherOver] = [isOver(one), isOver(other)];
  if (oneOver !== otherOver) return oneOver ? 1 : -1;
  return oneOver ? other.updatedMs - one.updatedMs : other.createdMs - one.createdMs;
}
