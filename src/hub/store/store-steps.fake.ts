import { AppError } from "../../base/errors.ts";
import { seededRandom } from "../../base/random.ts";
import { enrol, NOW, reportOf, stream } from "./store.fake.ts";
import type { Store } from "./store.ts";

export interface Step {
  readonly name: string;
  readonly run: (store: Store) => Promise<unknown>;
}

/** A row of verbs that meet each other often: few boxes, few ids, a time that goes on and now and then back. */
export function randomSteps(seed: number, count: number): readonly Step[] {
  const random = seededRandom(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const pick = <Item>(items: readonly Item[], otherwise: Item): Item => items[below(items.length)] ?? otherwise;
  let nowMs = NOW;
  return Array.from({ length: count }, (): Step => {
    nowMs += below(10) === 0 ? -500 : below(4000);
    const now = nowMs;
    const box = pick(["b1", "b2", "b3"], "b1");
    const id = `w${below(5)}`;
    const revision = below(3) === 0 ? below(12) : undefined;
    const owner = pick([undefined, "rollout/r"], undefined);
    const request = below(3) === 0 ? { id: `r${below(6)}`, bodyHash: `h${below(2)}` } : undefined;
    const context = { nowMs: now, expectedRevision: revision, request };
    const audit = { actor: "a", action: "x.y", subject: `box/${box}`, outcome: "done" } as const;
    const input = `rtsp://camera/${below(4)}`;
    const number = below(9);
    // Drawn here: a step is run on two stores, and must be the same on both.
    const session = `s${below(3)}`;
    const steps: readonly Step[] = [
      { name: "enrol", run: (store) => enrol(store, box) },
      {
        name: "change",
        run: (store) => store.expected.change(box, { put: [stream(id, input)], owner }, { ...context, audit }),
      },
      {
        name: "remove",
        run: (store) => store.expected.change(box, { remove: [id], owner, takeOver: number < 3 }, context),
      },
      {
        name: "replace",
        run: (store) => store.expected.replace(box, { entries: [stream(id, input)], owner }, context),
      },
      {
        name: "settle",
        run: (store) =>
          store.expected.settle(
            ["b1", "b2", "b3"].slice(number % 3),
            (_box, { entries }) => ({
              writes: number > 6 && entries.length > 2 ? [] : [{ entries: [stream(id, input)], owner, audit }],
            }),
            now,
          ),
      },
      { name: "get", run: (store) => store.expected.get(box) },
      {
        name: "after",
        run: async (store) => store.expected.after(box, `${(await store.expected.get(box)).epoch}.${number}`, 4),
      },
      {
        name: "update",
        run: (store) => store.boxes.update(box, { draining: number > 4, labels: { n: id } }, { ...context, audit }),
      },
      {
        name: "forget",
        run: (store) => (number === 0 ? store.boxes.forget(box, { nowMs: now }) : store.boxes.get(box)),
      },
      { name: "list", run: (store) => store.boxes.list({ text: number > 4 ? "b2" : undefined }, { limit: 2 }) },
      { name: "stage", run: (store) => store.boxes.stageKey(box, `k${number}`, { nowMs: now }) },
      { name: "promote", run: (store) => store.boxes.promoteKey(box, `k${number}`, { nowMs: now }) },
      { name: "report", run: (store) => store.reports.put(box, reportOf(box, session, number + 1), now) },
      {
        name: "create",
        run: (store) =>
          store.commands.create(box, { id, name: "x", args: {}, deadlineMs: now + 3000, key: owner }, { nowMs: now }),
      },
      { name: "take", run: (store) => store.commands.take(box, id, { taker: `t${number % 2}`, nowMs: now }) },
      { name: "complete", run: (store) => store.commands.complete(box, id, { ok: true, text: "", nowMs: now }) },
      { name: "expireDue", run: (store) => store.commands.expireDue(now, 1 + (number % 3)) },
      { name: "commands", run: (store) => store.commands.list(box, now) },
      {
        name: "acquire",
        run: (store) => store.leases.acquire("l", { holder: `h${number % 3}`, ttlMs: 5000, nowMs: now }),
      },
      { name: "release", run: (store) => store.leases.release("l", number) },
      { name: "put", run: (store) => store.objects.put({ kind: "k", id, body: { input } }, context) },
      { name: "delete", run: (store) => store.objects.delete("k", id, context) },
      { name: "objects", run: (store) => store.objects.list("k", { limit: 2, after: number > 5 ? id : undefined }) },
      { name: "event", run: (store) => store.events.append({ kind: "x", text: id }, now) },
      { name: "audit", run: (store) => store.audit.list({ subject: `box/${box}` }, { limit: 3 }) },
      { name: "enqueue", run: (store) => store.deliveries.enqueue({ id, target: "t", body: 1 }, now) },
      { name: "claim", run: (store) => store.deliveries.claim({ nowMs: now, leaseMs: 2000, limit: 2 }) },
      { name: "succeed", run: (store) => store.deliveries.succeed(id, number % 4, now) },
      { name: "maintain", run: (store) => store.maintain(now) },
      { name: "telemetry", run: (store) => store.telemetry.append(box, [{ atMs: now, values: { cpu: number } }], now) },
      { name: "series", run: (store) => store.telemetry.read(box, { step: "15s", fromMs: NOW, toMs: now, limit: 5 }) },
    ];
    return steps[below(steps.length)] ?? { name: "none", run: async () => undefined };
  });
}

/** What came of it, as text that is the same for two stores that agree. Epochs are made up, and differ. */
export async function answerOf(answer: Promise<unknown>): Promise<string> {
  const text = await answer.then(
    (value) => JSON.stringify(value) ?? "nothing",
    (thrown: unknown) =>
      thrown instanceof AppError
        ? `${thrown.code} ${thrown.message} ${thrown.currentRevision}`
        : `bug: ${String(thrown)}`,
  );
  return text.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "EPOCH");
}
