import { z } from "zod";
import { type Assignment, assignmentSchema } from "../../contract/transfer/assignment.ts";
import type { HubContext } from "../hub-context.ts";
import { everyItem } from "../store/page.ts";
import { isRace } from "./transfer-book.ts";

/** What source workers are to be told, through whichever hub they ask. */
export const SERVE_KIND = "transfer-serve";
const storedSchema = z.object({ worker: z.string(), assignment: assignmentSchema });
/** Whoever waits for it has given up by then. */
const KEPT_MS = 30_000;

export interface ServeBook {
  put(worker: string, assignment: Assignment): Promise<void>;
  /** What waits for a worker; each is given once. */
  take(worker: string): Promise<Assignment | undefined>;
  doubt(): void;
  trim(): Promise<void>;
}

export function createServeBook({ store, clock }: Pick<HubContext, "store" | "clock">): ServeBook {
  let isDoubted = true;
  let waiting = new Map<string, { readonly worker: string; readonly revision: number }>();

  const refresh = async () => {
    if (!isDoubted) return;
    isDoubted = false;
    const found: typeof waiting = new Map();
    try {
      for await (const { id, revision, body } of everyItem((page) => store.objects.list(SERVE_KIND, page), 100)) {
        const parsed = storedSchema.safeParse(body);
        if (parsed.success) found.set(id, { worker: parsed.data.worker, revision });
      }
      waiting = found;
    } catch (thrown) {
      isDoubted = true;
      throw thrown;
    }
  };

  return {
    put: async (worker, assignment) => {
      const id = assignment.lease_id.replaceAll(":", ".");
      const body = { worker, assignment };
      const { revision } = await store.objects.put({ kind: SERVE_KIND, id, body }, { nowMs: clock.wallMs() });
      waiting.set(id, { worker, revision });
    },
    take: async (worker) => {
      await refresh();
      for (const [id, { worker: of, revision }] of waiting) {
        if (of !== worker) continue;
        waiting.delete(id);
        const object = await store.objects.get(SERVE_KIND, id);
        const parsed = storedSchema.safeParse(object?.body);
        if (object === undefined || !parsed.success) continue;
        try {
          await store.objects.delete(SERVE_KIND, id, { nowMs: clock.wallMs(), expectedRevision: revision });
        } catch (thrown) {
          if (isRace(thrown)) continue;
          throw thrown;
        }
        if (clock.wallMs() - object.createdMs <= KEPT_MS) return parsed.data.assignment;
      }
      return undefined;
    },
    doubt: () => {
      isDoubted = true;
    },
    trim: async () => {
      const nowMs = clock.wallMs();
      for await (const { id, updatedMs } of everyItem((page) => store.objects.list(SERVE_KIND, page), 100)) {
        if (nowMs - updatedMs <= KEPT_MS) continue;
        await store.objects.delete(SERVE_KIND, id, { nowMs });
        waiting.delete(id);
      }
    },
  };
}
