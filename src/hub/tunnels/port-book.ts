import { z } from "zod";
import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { listenPointSchema } from "../../contract/tunnel-spec.ts";
import type { Store } from "../store/store.ts";
import { choosePorts, type Listen, type PortRange, type PortWish, type Taken } from "./choose-ports.ts";

export const TUNNEL_PORTS_KIND = "tunnel-ports";

/** What one tunnel has on one box. */
const claimSchema = z.object({
  /** When it was written: one whose tunnel never came to be is cleared after a while. */
  atMs: z.number(),
  listens: z.array(listenPointSchema),
  rateMbit: z.number().optional(),
});
const sheetSchema = z.object({ tunnels: z.record(z.string(), claimSchema) });
type Sheet = z.output<typeof sheetSchema>;

/** Ports and rates of all tunnels, one sheet a box. Each change is one conditional write, so that no two tunnels get the same. */
export interface PortBook {
  /** Gives the tunnel what it asks for on the box in place of what it had there. Rejects as `choosePorts`, and `conflict` where the rate has no room. */
  reserve(boxId: string, claim: ClaimWish): Promise<readonly Listen[]>;
  /** Whatever the tunnel has on the box is free. */
  release(boxId: string, uid: string): Promise<void>;
  /** Releases claims of tunnels that `isKnown` denies and that are older than a creation can take. */
  sweep(isKnown: (uid: string) => Promise<boolean>): Promise<void>;
}

export interface ClaimWish {
  readonly uid: string;
  readonly ports: readonly PortWish[];
  readonly range: PortRange | undefined;
  /** Ports of the range are tried from here on. */
  readonly from?: number;
  readonly rateMbit: number | undefined;
  /** Of the box; unset: it declares none, and nothing is counted. */
  readonly uplinkMbit: number | undefined;
}

const ATTEMPTS = 64;
const RETRY_MS = 20;
const ORPHAN_MS = 120_000;

export function createPortBook({
  store,
  clock,
  random,
}: {
  readonly store: Pick<Store, "objects">;
  readonly clock: Clock;
  readonly random: Random;
}): PortBook {
  /** Within this hub one change of a sheet waits for the one before it; only hubs race. */
  const turns = new Map<string, Promise<unknown>>();

  const inTurn = async <Answer>(boxId: string, act: () => Promise<Answer>): Promise<Answer> => {
    const before = turns.get(boxId);
    const mine = (before ?? Promise.resolve()).then(act, act);
    turns.set(boxId, mine);
    try {
      return await mine;
    } finally {
      if (turns.get(boxId) === mine) turns.delete(boxId);
    }
  };

  /** `decide` gives the sheet that should be; the same one: nothing is written. */
  const edit = <Answer>(
    boxId: string,
    decide: (sheet: Sheet) => { readonly sheet: Sheet; readonly answer: Answer },
  ): Promise<Answer> =>
    inTurn(boxId, async () => {
      for (let attempt = 1; ; attempt++) {
        const held = await store.objects.get(TUNNEL_PORTS_KIND, boxId);
        const parsed = sheetSchema.safeParse(held?.body);
        const before: Sheet = parsed.success ? parsed.data : { tunnels: {} };
        const { sheet, answer } = decide(before);
        if (sheet === before) return answer;
        try {
          const expectedRevision = held?.revision ?? 0;
          const object = { kind: TUNNEL_PORTS_KIND, id: boxId, body: sheet };
          await store.objects.put(object, { nowMs: clock.wallMs(), expectedRevision });
          return answer;
        } catch (thrown) {
          const isRace = thrown instanceof AppError && thrown.code === "conflict";
          if (!isRace || attempt === ATTEMPTS) throw thrown;
          await clock.delay(RETRY_MS * random());
        }
      }
    });

  return {
    reserve: (boxId, claim) =>
      edit(boxId, (sheet) => {
        const { [claim.uid]: own, ...others } = sheet.tunnels;
        requireRoom(boxId, claim, others);
        const listens = choosePorts(claim.ports, { ...claim, boxId, taken: takenOf(others) });
        const { rateMbit } = claim;
        const next = {
          atMs: own?.atMs ?? clock.wallMs(),
          listens: [...listens],
          ...(rateMbit === undefined ? {} : { rateMbit }),
        };
        const isSame = JSON.stringify(own) === JSON.stringify(next);
        return { sheet: isSame ? sheet : { tunnels: { ...others, [claim.uid]: next } }, answer: listens };
      }),
    release: (boxId, uid) =>
      edit(boxId, (sheet) => {
        const { [uid]: own, ...others } = sheet.tunnels;
        return { sheet: own === undefined ? sheet : { tunnels: others }, answer: undefined };
      }),
    sweep: async (isKnown) => {
      for (let after: string | undefined; ; ) {
        const page = await store.objects.list(TUNNEL_PORTS_KIND, { after, limit: 100 });
        for (const { id: boxId, body } of page.items) {
          const parsed = sheetSchema.safeParse(body);
          const old = Object.entries(parsed.data?.tunnels ?? {}).filter(
            ([, { atMs }]) => clock.wallMs() - atMs > ORPHAN_MS,
          );
          const orphans: string[] = [];
          for (const [uid] of old) if (!(await isKnown(uid))) orphans.push(uid);
          if (orphans.length > 0) {
            await edit(boxId, ({ tunnels }) => {
              const kept = Object.entries(tunnels).filter(([uid]) => !orphans.includes(uid));
              return { sheet: { tunnels: Object.fromEntries(kept) }, answer: undefined };
            });
          }
        }
        if (page.next === undefined) return;
        after = page.next;
      }
    },
  };
}

function takenOf(tunnels: Sheet["tunnels"]): readonly Taken[] {
  return Object.entries(tunnels).flatMap(([uid, { listens }]) => listens.map((listen) => ({ ...listen, uid })));
}

function requireRoom(boxId: string, { rateMbit, uplinkMbit }: ClaimWish, others: Sheet["tunnels"]): void {
  if (rateMbit === undefined || uplinkMbit === undefined) return;
  const promised = Object.values(others).reduce((sum, one) => sum + (one.rateMbit ?? 0), 0);
  if (promised + rateMbit <= uplinkMbit) return;
  throw new AppError(
    "conflict",
    `rateMbit: given ${rateMbit}; box ${boxId} declares an uplink of ${uplinkMbit} Mbit/s (tunnels.uplinkMbit), other tunnels are promised ${promised}, ${Math.max(0, uplinkMbit - promised)} are left`,
    { field: "rateMbit" },
  );
}
