import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import { isSameJson } from "../../base/same-json.ts";
import type { Store } from "../store/store.ts";
import type { BoxOffers } from "./box-offers.ts";
import { standingRefusals } from "./box-refusals.ts";
import { type BoxOffer, chooseBox } from "./choose-box.ts";
import type { SessionPlan } from "./plan-session.ts";
import type { SeatBook } from "./seat-book.ts";
import { seatOf } from "./seats.ts";
import { ownerOf, type Session, type SessionProgress } from "./session-record.ts";

/** Finds boxes for sessions, one session after the other, so that each sees what the one before it was given. */
export interface SessionPlacer {
  /**
   * Looks for a box until one gives the session a seat, or none is left. `isLost`: the box that it is to leave is not heard.
   * Undefined: no other can take it, and it stays where it is.
   */
  place(
    session: Session,
    plan: Pick<SessionPlan, "wantsBox" | "progress">,
    isLost: boolean,
  ): Promise<Placed | undefined>;
  /** What was read of boxes is not trusted any longer. */
  forgetBoxes(): void;
}

export type Placed = Pick<SessionPlan, "progress" | "event">;

export interface SessionPlacerDeps {
  readonly store: Pick<Store, "expected" | "reports">;
  readonly clock: Clock;
  readonly seats: SeatBook;
  readonly offers: BoxOffers;
}

export function createSessionPlacer({ store, clock, seats, offers }: SessionPlacerDeps): SessionPlacer {
  let known: Promise<Map<string, BoxOffer>> | undefined;
  let last: Promise<unknown> = Promise.resolve();

  const readOffers = (): Promise<Map<string, BoxOffer>> => {
    known ??= offers.list().then((all) => new Map(all.map((offer) => [offer.id, offer])));
    return known;
  };

  const place: SessionPlacer["place"] = async (session, { wantsBox, progress }, isLost) => {
    const { id, wish } = session;
    const boxes = await readOffers();
    const refused = wish.box === undefined ? standingRefusals(progress.refusals, (boxId) => boxes.get(boxId)?.run) : [];
    const avoid = new Map([...refused, ...(wantsBox?.avoid ?? [])]);
    for (;;) {
      const { box, reason, passedOver } = chooseBox(wish, [...boxes.values()], { avoid });
      const nowMs = clock.wallMs();
      if (box === undefined) {
        return progress.box === undefined ? unplaced(session, progress, { reason, passedOver, nowMs }) : undefined;
      }
      const refusal = await takeSeat(box, session);
      if (refusal !== undefined) {
        avoid.set(box, refusal);
        continue;
      }
      const offer = boxes.get(box);
      if (offer !== undefined) boxes.set(box, { ...offer, seats: { ...offer.seats, [id]: seatOf(wish) } });
      const from = progress.box;
      const leaving = progress.leaving.filter((one) => one.box !== box);
      const text = `Session ${id} ${from === undefined ? "is placed on" : `moves from ${from} to`} ${box}: ${reason}`;
      return {
        progress: {
          of: progress.of,
          state: "pending",
          reason: from === undefined ? `${box} has not taken it up yet` : `it moves from ${from}`,
          sinceMs: nowMs,
          box,
          placement: { box, reason, passedOver: [...passedOver], atMs: nowMs },
          hasBegun: false,
          refusals: progress.refusals,
          leaving: from === undefined ? leaving : [...leaving, { box: from, sinceMs: nowMs, isLost }],
        },
        event: { kind: "session.placed", boxId: box, workloadId: id, text, data: { id, from, to: box } },
      };
    }
  };

  /** Why the box cannot have it after all. */
  const takeSeat = async (boxId: string, { id, wish }: Session): Promise<string | undefined> => {
    const [set, report] = await Promise.all([store.expected.get(boxId).catch(unlessGone), store.reports.get(boxId)]);
    if (set === undefined) return "it was forgotten";
    const other = set.entries.find(({ workload, owner }) => workload.id === id && owner !== ownerOf(id));
    if (other !== undefined) return `its place is taken by the workload ${id}`;
    const claim = { id, seat: seatOf(wish), facts: report?.report.sessions, isFact: false };
    return (await seats.claim(boxId, claim))?.reason;
  };

  return {
    place: (...asked) => {
      const mine = last.then(() => place(...asked));
      last = mine.catch(() => {
        known = undefined;
      });
      return mine;
    },
    forgetBoxes: () => {
      known = undefined;
    },
  };
}

/** Pure. What was tried last is told with the time at which it came out so first. */
function unplaced(
  { id }: Session,
  progress: SessionProgress,
  found: {
    readonly reason: string;
    readonly passedOver: readonly { readonly box: string; readonly reason: string }[];
    readonly nowMs: number;
  },
): Placed {
  const { reason, nowMs } = found;
  const passedOver = [...found.passedOver];
  const held = progress.placement;
  const isSame = held !== undefined && isSameJson({ ...held, atMs: 0 }, { reason, passedOver, atMs: 0 });
  const next = {
    ...progress,
    state: "unplaced",
    reason,
    placement: { reason, passedOver, atMs: isSame ? held.atMs : nowMs },
  } as const;
  if (progress.state === "unplaced") return { progress: next, event: undefined };
  const text = `Session ${id} is unplaced: ${reason}`;
  const data = { id, from: progress.state, to: "unplaced" };
  return { progress: { ...next, sinceMs: nowMs }, event: { kind: "session.state", workloadId: id, text, data } };
}

function unlessGone(thrown: unknown): undefined {
  if (thrown instanceof AppError && thrown.code === "not-found") return undefined;
  throw thrown;
}
