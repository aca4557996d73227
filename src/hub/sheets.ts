import type { z } from "zod";
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { createTurns } from "../base/turns.ts";
import { everyItem } from "./store/page.ts";
import type { Store } from "./store/store.ts";

/**
 * Objects on which many claim parts: ports of a box, seats on it. Each change is one conditional write, decided again where another
 * was quicker, so that no two claims of one thing are granted.
 */
export interface Sheets<Sheet> {
  get(id: string): Promise<Sheet>;
  /** `decide` gives the sheet that should be; the same one: nothing is written. What it throws is thrown. `conflict`: never got its turn. */
  edit<Answer>(
    id: string,
    decide: (sheet: Sheet) => { readonly sheet: Sheet; readonly answer: Answer },
  ): Promise<Answer>;
  list(): AsyncGenerator<{ readonly id: string; readonly sheet: Sheet }>;
}

export interface SheetsOptions<Sheet> {
  /** Of the objects. */
  readonly kind: string;
  readonly schema: z.ZodType<Sheet>;
  readonly empty: Sheet;
}

export interface SheetsDeps {
  readonly store: Pick<Store, "objects">;
  readonly clock: Clock;
  readonly random: Random;
}

const ATTEMPTS = 64;
const RETRY_MS = 20;
const SHEETS_A_PAGE = 100;

export function createSheets<Sheet>(
  { kind, schema, empty }: SheetsOptions<Sheet>,
  { store, clock, random }: SheetsDeps,
): Sheets<Sheet> {
  /** Within this hub one change of a sheet waits for the one before it; only hubs race. */
  const inTurn = createTurns();

  const toSheet = (body: unknown): Sheet => {
    const parsed = schema.safeParse(body);
    return parsed.success ? parsed.data : empty;
  };

  return {
    get: async (id) => toSheet((await store.objects.get(kind, id))?.body),
    edit: (id, decide) =>
      inTurn(id, async () => {
        for (let attempt = 1; ; attempt++) {
          const held = await store.objects.get(kind, id);
          const before = toSheet(held?.body);
          const { sheet, answer } = decide(before);
          if (sheet === before) return answer;
          try {
            const expectedRevision = held?.revision ?? 0;
            await store.objects.put({ kind, id, body: sheet }, { nowMs: clock.wallMs(), expectedRevision });
            return answer;
          } catch (thrown) {
            const isRace = thrown instanceof AppError && thrown.code === "conflict";
            if (!isRace || attempt === ATTEMPTS) throw thrown;
            await clock.delay(RETRY_MS * random());
          }
        }
      }),
    list: async function* () {
      for await (const { id, body } of everyItem((page) => store.objects.list(kind, page), SHEETS_A_PAGE)) {
        yield { id, sheet: toSheet(body) };
      }
    },
  };
}
