import { z } from "zod";
import { AppError } from "../../base/errors.ts";
import { listenPointSchema } from "../../contract/tunnel-spec.ts";
import { createSheets, type SheetsDeps } from "../sheets.ts";
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

const ORPHAN_MS = 120_000;

export function createPortBook(deps: SheetsDeps): PortBook {
  const { clock } = deps;
  const sheets = createSheets<Sheet>({ kind: TUNNEL_PORTS_KIND, schema: sheetSchema, empty: { tunnels: {} } }, deps);
  return {
    reserve: (boxId, claim) =>
      sheets.edit(boxId, (sheet) => {
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
      sheets.edit(boxId, (sheet) => {
        const { [uid]: own, ...others } = sheet.tunnels;
        return { sheet: own === undefined ? sheet : { tunnels: others }, answer: undefined };
      }),
    sweep: async (isKnown) => {
      for await (const { id: boxId, sheet } of sheets.list()) {
        const old = Object.entries(sheet.tunnels).filter(([, { atMs }]) => clock.wallMs() - atMs > ORPHAN_MS);
        const orphans: string[] = [];
        for (const [uid] of old) if (!(await isKnown(uid))) orphans.push(uid);
        if (orphans.length === 0) continue;
        await sheets.edit(boxId, ({ tunnels }) => {
          const kept = Object.entries(tunnels).filter(([uid]) => !orphans.includes(uid));
          return { sheet: { tunnels: Object.fromEntries(kept) }, answer: undefined };
        });
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
