import { AppError } from "../../base/errors.ts";
import { auditAppend, type NewAuditEntry } from "./audit-log.ts";
import {
  type Append,
  type Bodies,
  collection,
  type DocumentKey,
  type Engine,
  keyOf,
  type Outcome,
  putOf,
} from "./engine.ts";
import { EVENTS_TOPIC, eventAppend, type NewEvent } from "./event-log.ts";

/** What comes with a change that a person or a program asked for. All of it is written in the same step as the change. */
export interface WriteContext {
  /** Wall time. The store knows no other. */
  readonly nowMs: number;
  /**
   * Makes a repeated change one change: for `REQUEST_KEPT_MS` the same id with the same body gets the first answer again
   * and nothing is written; with another body it is a `conflict`. Ids are per `scope`: a box, a kind of object.
   */
  readonly request?: RequestIdentity | undefined;
  readonly audit?: NewAuditEntry | undefined;
  /** Or several, in this order. */
  readonly event?: NewEvent | readonly NewEvent[] | undefined;
}

export interface RequestIdentity {
  /** 1 to 128 characters. */
  readonly id: string;
  /** A hash over everything that the request asks for. */
  readonly bodyHash: string;
}

export const REQUEST_KEPT_MS = 24 * 3_600_000;

interface RequestRecord {
  readonly bodyHash: string;
  readonly expiresMs: number;
  readonly answer: unknown;
}

const requests = collection<RequestRecord>("request");

/** Whether something was changed in the name of this request already. Two that come together may both be new to this. */
export async function isKnownRequest(
  engine: Engine,
  scope: string,
  { id, nowMs }: { readonly id: string; readonly nowMs: number },
): Promise<boolean> {
  const [record] = await engine.read([keyOf(requests, scope, id)]);
  return record !== undefined && record.expiresMs > nowMs;
}

/** A transaction that answers a repeated request from its record, and adds request record, audit entry and event to the rest. */
export async function change<const Keys extends readonly DocumentKey<unknown>[], Answer>(
  engine: Engine,
  target: { readonly scope: string; readonly keys: Keys; readonly context: WriteContext },
  decide: (documents: Bodies<Keys>) => Outcome<Answer>,
): Promise<Answer> {
  const { scope, keys, context } = target;
  const { request } = context;
  if (request === undefined) {
    return engine.transact(keys, (documents) => withContext(decide(documents), context));
  }
  const recordKey = keyOf(requests, scope, request.id);
  return engine.transact([...keys, recordKey], (documents) => {
    const record = documents.at(-1) as RequestRecord | undefined;
    if (record !== undefined && record.expiresMs > context.nowMs) {
      if (record.bodyHash === request.bodyHash) return { answer: record.answer as Answer };
      throw new AppError(
        "conflict",
        `request id ${JSON.stringify(request.id)} was used for another body within the last day; give each change an id of its own`,
        { field: "requestId" },
      );
    }
    const outcome = withContext(decide(documents.slice(0, -1) as unknown as Bodies<Keys>), context);
    const expiresMs = context.nowMs + REQUEST_KEPT_MS;
    const kept: RequestRecord = { bodyHash: request.bodyHash, expiresMs, answer: outcome.answer };
    return { ...outcome, puts: [...(outcome.puts ?? []), putOf(recordKey, kept, expiresMs)] };
  });
}

/** Pure. An outcome that changes nothing is not audited and makes no event. */
export function withContext<Answer>(outcome: Outcome<Answer>, context: Omit<WriteContext, "request">): Outcome<Answer> {
  const isWrite = [outcome.puts, outcome.deletes, outcome.appends].some((writes) => (writes?.length ?? 0) > 0);
  if (!isWrite) return outcome;
  const appends: Append[] = [...(outcome.appends ?? [])];
  if (context.audit !== undefined) appends.push(auditAppend(context.audit, context.nowMs));
  const events: readonly NewEvent[] = context.event === undefined ? [] : [context.event].flat();
  for (const event of events) appends.push(eventAppend(event, context.nowMs));
  const wakes = events.length === 0 ? outcome.wakes : [...(outcome.wakes ?? []), EVENTS_TOPIC];
  return { ...outcome, appends, ...(wakes === undefined ? {} : { wakes }) };
}
