import type { Clock } from "../../base/clock.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { sessionWishSchema } from "../../contract/fleet/session.ts";
import type { WorkloadStatus } from "../../contract/local-status.ts";
import type { Report } from "../../contract/report.ts";
import type { Store } from "../store/store.ts";
import { isSelected } from "./choose-box.ts";
import { statusOf } from "./plan-session.ts";
import type { SessionMaker } from "./session-maker.ts";
import {
  boxesOf,
  firstProgress,
  SESSION_STATE_KIND,
  type Session,
  type SessionProgress,
  toProgress,
} from "./session-record.ts";
import { recoveredFrom } from "./session-workload.ts";

/**
 * Takes up what boxes run and this store's memory does not say of them: it was restored from a backup, or emptied. A session that
 * nobody knows is made from what its box tells; of one that is known the box is noted as a place where it is, or has to be ended. A box
 * tells it with each report until it is so, and any hub may act on it: each write is conditional.
 */
export interface UnclaimedWatch {
  /** Never throws; what failed is tried with the next report. */
  onReport(boxId: string, report: Report): void;
}

export interface UnclaimedWatchDeps {
  readonly store: Pick<Store, "objects" | "boxes" | "reports">;
  readonly clock: Clock;
  readonly log: Log;
  readonly maker: Pick<SessionMaker, "find" | "recover">;
}

export function createUnclaimedWatch({ store, clock, log, maker }: UnclaimedWatchDeps): UnclaimedWatch {
  const busy = new Set<string>();

  const takeUp = async (boxId: string, status: WorkloadStatus): Promise<void> => {
    const session = await maker.find(status.id);
    if (session === undefined) await recover(boxId, status);
    else await noteBox(session, boxId);
  };

  const recover = async (boxId: string, { id, session }: WorkloadStatus): Promise<void> => {
    const recovered = session === undefined ? undefined : recoveredFrom(id, session, boxId);
    // A box can tell anything.
    const wish = sessionWishSchema.safeParse(recovered?.wish);
    if (recovered === undefined || !wish.success) {
      log.warn(
        `Box ${boxId} runs the session ${id}, which nobody here knows, and tells of it what cannot be understood`,
      );
      return;
    }
    const text = `Session ${id} was not known here any more and is taken up again from box ${boxId}, which runs it`;
    await maker.recover(wish.data, recovered.power, {
      nowMs: clock.wallMs(),
      audit: { actor: "hub", action: "session.recovered", subject: `session/${id}`, outcome: "done", detail: text },
      event: { kind: "session.recovered", boxId, workloadId: id, text, data: { id } },
    });
  };

  /** Whether the box that this memory has for its home has anything of it that would be lost. */
  const isAlive = async (id: string, homeId: string | undefined): Promise<boolean> => {
    if (homeId === undefined) return false;
    const status = statusOf(id, { report: await store.reports.get(homeId) });
    return status !== undefined && status.state !== "waiting" && status.state !== "refused";
  };

  const noteBox = async (session: Session, boxId: string): Promise<void> => {
    const { id, wish, ending } = session;
    const held = await store.objects.get(SESSION_STATE_KIND, id);
    const progress = toProgress(held, session) ?? firstProgress(session);
    if (boxesOf(progress).includes(boxId)) return;
    const box = await store.boxes.get(boxId);
    if (box === undefined) return;
    const nowMs = clock.wallMs();
    const mayBeHome = wish.box === undefined ? isSelected(wish, box.labels) : wish.box === boxId;
    const isHome = ending === undefined && mayBeHome && !(await isAlive(id, progress.box));
    const left = progress.box === undefined ? [] : [{ box: progress.box, sinceMs: nowMs, isLost: true }];
    const next: SessionProgress = isHome
      ? {
          ...progress,
          box: boxId,
          hasBegun: true,
          placement: { box: boxId, reason: "it runs there already", atMs: nowMs, passedOver: [] },
          leaving: [...progress.leaving, ...left],
        }
      : { ...progress, leaving: [...progress.leaving, { box: boxId, sinceMs: nowMs, isLost: false }] };
    const text = isHome
      ? `Session ${id} runs on ${boxId} already, and stays there`
      : `Session ${id} runs on ${boxId} too, where it does not belong: it is ended there`;
    const object = { kind: SESSION_STATE_KIND, id, body: next };
    await store.objects.put(object, {
      nowMs,
      expectedRevision: held?.revision ?? 0,
      audit: { actor: "hub", action: "session.found", subject: `session/${id}`, outcome: "done", detail: text },
      event: { kind: "session.found", boxId, workloadId: id, text, data: { id } },
    });
  };

  return {
    onReport: (boxId, { workloads }) => {
      const unclaimed = workloads.filter(({ session }) => session?.unclaimed !== undefined);
      if (unclaimed.length === 0 || busy.has(boxId)) return;
      busy.add(boxId);
      const takeAll = async () => {
        for (const status of unclaimed) {
          await takeUp(boxId, status).catch((thrown: unknown) => {
            // Another hub was quicker.
            if (thrown instanceof AppError && thrown.code === "conflict") return;
            log.warn(`Session ${status.id}, which box ${boxId} runs, could not be taken up: ${messageOf(thrown)}`);
          });
        }
        busy.delete(boxId);
      };
      void takeAll();
    },
  };
}
