import type { Append, Engine, Log } from "./engine.ts";
import type { Page } from "./page.ts";

/** Who did what to what. Never holds a secret: callers name things, not values. */
export interface NewAuditEntry {
  /** `operator:<token id>`, `box:<box id>`, `hub`. */
  readonly actor: string;
  /** `box.drain`, `workload.put` … */
  readonly action: string;
  /** `box/north-1`, `rollout/doors` … */
  readonly subject: string;
  readonly outcome: "done" | "refused";
  readonly address?: string | undefined;
  readonly detail?: string | undefined;
}

export interface AuditEntry extends NewAuditEntry {
  /** Grows by one for each entry of the store. */
  readonly sequence: number;
  readonly atMs: number;
}

export interface AuditFilter {
  readonly actor?: string | undefined;
  /** An action, or its first words: `box` matches `box.drain`. */
  readonly action?: string | undefined;
  /** A subject, or its first parts: `box/north-1`. */
  readonly subject?: string | undefined;
  readonly fromMs?: number | undefined;
  readonly toMs?: number | undefined;
}

export interface AuditLog {
  /** Durable when it resolves. Changes are audited through their `WriteContext`; this is for what changes nothing (a refused login). */
  append(entry: NewAuditEntry, nowMs: number): Promise<void>;
  /** Newest first. `after` is the `next` of the page before. */
  list(
    filter: AuditFilter,
    page: { readonly after?: string | undefined; readonly limit: number },
  ): Promise<Page<AuditEntry>>;
}

/** The last entries are kept, whatever their age. */
export const AUDIT_KEPT = 100_000;
const CHUNK = 500;
const MAX_PAGE = 1000;

const log: Log<NewAuditEntry> = { name: "audit" };

export function auditAppend(entry: NewAuditEntry, nowMs: number): Append {
  return { log, body: entry, atMs: nowMs, keep: AUDIT_KEPT };
}

export function createAuditLog(engine: Engine): AuditLog {
  return {
    append: (entry, nowMs) => engine.transact([], () => ({ answer: undefined, appends: [auditAppend(entry, nowMs)] })),
    list: async (filter, page) => {
      const limit = Math.min(Math.max(page.limit, 1), MAX_PAGE);
      const found: AuditEntry[] = [];
      for (let before = sequenceOf(page.after); found.length <= limit; ) {
        const chunk = await engine.readLogBack(log, before, CHUNK);
        for (const { sequence, atMs, body } of chunk) {
          const entry: AuditEntry = { ...body, sequence, atMs };
          if (found.length <= limit && matches(entry, filter)) found.push(entry);
        }
        const last = chunk.at(-1);
        if (last === undefined || chunk.length < CHUNK) break;
        before = last.sequence;
      }
      const items = found.slice(0, limit);
      return { items, next: found.length > limit ? String(items.at(-1)?.sequence) : undefined };
    },
  };
}

function sequenceOf(after: string | undefined): number {
  const sequence = Number(after);
  return after === undefined || !Number.isSafeInteger(sequence) ? Number.MAX_SAFE_INTEGER : sequence;
}

export function matches(entry: AuditEntry, filter: AuditFilter): boolean {
  return (
    (filter.actor === undefined || entry.actor === filter.actor) &&
    isWithin(entry.action, filter.action, ".") &&
    isWithin(entry.subject, filter.subject, "/") &&
    (filter.fromMs === undefined || entry.atMs >= filter.fromMs) &&
    (filter.toMs === undefined || entry.atMs < filter.toMs)
  );
}

function isWithin(value: string, wanted: string | undefined, separator: string): boolean {
  return wanted === undefined || value === wanted || value.startsWith(`${wanted}${separator}`);
}
