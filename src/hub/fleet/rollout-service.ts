import type { AppError } from "../../base/errors.ts";
import type { Service } from "../../base/service.ts";
import { createHeldLease } from "../held-lease.ts";
import type { HubContext } from "../hub-context.ts";
import { runLeasedLaps } from "../leased-laps.ts";
import type { Box } from "../store/box.ts";
import type { ExpectedSet } from "../store/expected-set.ts";
import { type PlannedWrite, SETTLED_AT_ONCE } from "../store/settle-boxes.ts";
import { createDirtyBoxes } from "./dirty-boxes.ts";
import { type OwnerWrite, planBox, type Rollout, type Standing } from "./plan-rollouts.ts";
import { listRollouts, MAX_FAILED_SHOWN, ROLLOUT_STATUS_KIND, type RolloutStatus } from "./rollout-objects.ts";

/** Also what was missed by every hint is found by then. */
const FULL_LAP_MS = 300_000;
const RENEW_MS = 5000;
const LEASE = { name: "rollouts", ttlMs: 15_000, renewMs: RENEW_MS };
const RETRY_MS = 1000;
/**
 * Asked for together, so that they are made durable together. Between two turns a hub answers all that has come meanwhile; where that
 * is much, a rollout in many small turns would take as many times as long. A turn keeps the event loop for a tenth of a second.
 */
const STEPS_A_TURN = 4;

/**
 * Makes every box run what the rollouts say of it. One hub at a time does it, by lease. Level-triggered: each lap goes
 * from what is to what should be, so two hubs that both believe to hold the lease for a moment come to the same.
 */
export function createRolloutService(context: HubContext): Service {
  const { store, clock } = context;
  return {
    name: "rollouts",
    run: async (signal) => {
      const dirty = createDirtyBoxes();
      const stopListening = store.onHint(dirty.note);
      const standings = new Map<string, ReadonlyMap<string, Standing>>();
      const told = new Map<string, string>();
      const lease = createHeldLease(LEASE, context);
      let fullAtMs = Number.NEGATIVE_INFINITY;

      const lap = async (): Promise<void> => {
        const { isHeld, isNew } = await lease.hold();
        if (!isHeld) return;
        if (isNew || clock.monotonicMs() >= fullAtMs) {
          fullAtMs = clock.monotonicMs() + FULL_LAP_MS;
          told.clear();
          dirty.markAll();
        }
        const wanted = dirty.take();
        if (wanted.length === 0) return;
        try {
          await settle(wanted);
        } catch (thrown) {
          if (wanted === "all") dirty.markAll();
          else for (const boxId of wanted) dirty.mark(boxId);
          throw thrown;
        }
      };

      const settle = async (wanted: "all" | readonly string[]): Promise<void> => {
        const rollouts = await listRollouts(store);
        if (wanted === "all") standings.clear();
        let failed: AppError | undefined;
        for await (const steps of inTurns(wanted === "all" ? allBoxIds() : slicesOf(wanted))) {
          const errors = await Promise.all(steps.map((boxIds) => settleSome(boxIds, rollouts)));
          failed ??= errors.find((error) => error !== undefined);
          // The boxes of this turn hear of it, and others are answered, before the next one begins.
          await new Promise((resolve) => setImmediate(resolve));
          signal.throwIfAborted();
        }
        for (const rollout of rollouts) await tell(rollout);
        if (failed !== undefined) throw failed;
      };

      /** Answers why boxes could not be settled, where some could not. */
      const settleSome = async (
        boxIds: readonly string[],
        rollouts: readonly Rollout[],
      ): Promise<AppError | undefined> => {
        const plan = (box: Box, { entries }: ExpectedSet) => {
          const { writes, standings: placed } = planBox(box, entries, rollouts);
          return { placed, writes: writes.map((write) => withRecords(box.id, write)) };
        };
        const settled = await store.expected.settle(boxIds, plan, clock.wallMs());
        let failed: AppError | undefined;
        for (const one of settled) {
          if ("plan" in one) {
            standings.set(one.boxId, one.plan.placed);
            // What this step has written is no reason to look again.
            if (one.answer.changed) dirty.wrote(one.boxId, one.answer.revision);
          } else if (one.error.code === "not-found") standings.delete(one.boxId);
          else failed ??= one.error;
        }
        return failed;
      };

      const tell = async ({ id }: Rollout): Promise<void> => {
        const status = statusOf(id, standings);
        const text = JSON.stringify(status);
        if (told.get(id) === text) return;
        await store.objects.put({ kind: ROLLOUT_STATUS_KIND, id, body: status }, { nowMs: clock.wallMs() });
        told.set(id, text);
      };

      async function* allBoxIds(): AsyncGenerator<readonly string[]> {
        for (let after: string | undefined; ; ) {
          const page = await store.boxes.listIds({ after, limit: SETTLED_AT_ONCE });
          yield page.items;
          if (page.next === undefined) return;
          after = page.next;
        }
      }

      try {
        await runLeasedLaps(
          {
            title: "Rollouts",
            periodMs: RENEW_MS,
            retryMs: RETRY_MS,
            lap,
            isOthers: () => !lease.isHeld(),
            untilCalled: dirty.untilSome,
          },
          context,
          signal,
        );
      } finally {
        stopListening();
        await lease.release();
      }
    },
  };
}

/** Pure. */
export function statusOf(
  rolloutId: string,
  standings: ReadonlyMap<string, ReadonlyMap<string, Standing>>,
): RolloutStatus {
  const status = { matching: 0, placed: 0, failed: [] as { box: string; reason: string }[] };
  for (const [box, byRollout] of standings) {
    const standing = byRollout.get(rolloutId);
    if (standing === undefined) continue;
    status.matching++;
    if (standing.kind === "placed") status.placed++;
    else if (standing.kind === "failed" && status.failed.length < MAX_FAILED_SHOWN) {
      status.failed.push({ box, reason: standing.reason });
    }
  }
  return { ...status, failed: status.failed.sort((one, other) => (one.box < other.box ? -1 : 1)) };
}

function* slicesOf(boxIds: readonly string[]): Generator<readonly string[]> {
  for (let from = 0; from < boxIds.length; from += SETTLED_AT_ONCE) yield boxIds.slice(from, from + SETTLED_AT_ONCE);
}

async function* inTurns<Step>(steps: AsyncIterable<Step> | Iterable<Step>): AsyncGenerator<readonly Step[]> {
  let turn: Step[] = [];
  for await (const step of steps) {
    turn.push(step);
    if (turn.length < STEPS_A_TURN) continue;
    yield turn;
    turn = [];
  }
  if (turn.length > 0) yield turn;
}

/** Pure. What people and the audit hear of a write. */
function withRecords(boxId: string, { owner, entries }: OwnerWrite): PlannedWrite {
  const ids = entries.map(({ workload }) => workload.id).join(", ");
  const text = ids === "" ? `${owner} took its workload from ${boxId}` : `${owner} put ${ids} on ${boxId}`;
  const subject = `box/${boxId}`;
  return {
    owner,
    entries,
    audit: { actor: "hub", action: "rollout.place", subject, outcome: "done", detail: text },
    event: { kind: "expected.changed", boxId, text },
  };
}
