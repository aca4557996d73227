import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseSelector } from "../../contract/fleet/selector.ts";
import type { Box } from "../store/box.ts";
import { applyDiff, decideReplacement, type ExpectedEntry } from "../store/expected-set.ts";
import { NOW, stream } from "../store/store.fake.ts";
import { ownerOf, planBox, type Rollout } from "./plan-rollouts.ts";

function box(given: Partial<Box> = {}): Box {
  return {
    id: "gate-1",
    revision: 1,
    name: "Gate",
    labels: { site: "north", camera: "10.0.0.7" },
    state: "approved",
    draining: false,
    createdMs: NOW,
    key: { hash: "x", sinceMs: NOW },
    ...given,
  };
}

function rollout(given: Partial<Rollout> & { readonly selector?: string; readonly workloadId?: string } = {}): Rollout {
  const { selector = "site=north", workloadId = "door", ...rest } = given;
  const parsed = parseSelector(selector);
  if (!parsed.ok) expect.unreachable(parsed.problem);
  const spec = { input: "rtsp://{{label.camera}}/1", outputs: ["rtmp://ingest/live/{{box.id}}"] };
  const template = { kind: "stream", id: workloadId, spec };
  return { id: "doors", revision: 1, requirements: parsed.requirements, template, enabled: true, ...rest };
}

/** The entries once a plan is carried out by the store's own rules. */
function settle(entries: readonly ExpectedEntry[], plan: ReturnType<typeof planBox>): readonly ExpectedEntry[] {
  return plan.writes.reduce(
    (held, { owner, entries: wanted }) => applyDiff(held, decideReplacement(held, wanted, { owner })),
    entries,
  );
}

describe("a rollout", () => {
  test("puts its workload on a box that matches, with the box's facts in it", () => {
    const plan = planBox(box(), [], [rollout()]);
    const [entry] = settle([], plan);
    expect(entry).toMatchObject({ owner: "rollout/doors", desired: "running" });
    expect(entry?.workload).toMatchObject({
      id: "door",
      spec: { input: { url: "rtsp://10.0.0.7/1" }, outputs: [{ url: "rtmp://ingest/live/gate-1" }] },
    });
    expect(plan.standings.get("doors")).toEqual({ kind: "placed" });
  });

  test("leaves boxes alone that do not match, wait for approval, or were revoked", () => {
    for (const other of [box({ labels: { site: "south" } }), box({ state: "pending" }), box({ state: "revoked" })]) {
      expect(planBox(other, [], [rollout()])).toEqual({ writes: [], standings: new Map() });
    }
  });

  test("takes its workload from a box that does not match any more, and from nobody else", () => {
    const held = [...settle([], planBox(box(), [], [rollout()])), stream("own")];
    const plan = planBox(box({ labels: { site: "south" } }), held, [rollout()]);
    expect(settle(held, plan).map(({ workload }) => workload.id)).toEqual(["own"]);
  });

  test("that is gone takes away what it placed; one that is off neither gives nor takes", () => {
    const held = settle([], planBox(box(), [], [rollout()]));
    expect(settle(held, planBox(box(), held, []))).toEqual([]);
    const off = rollout({ enabled: false });
    expect(planBox(box(), held, [off]).writes).toEqual([]);
    expect(planBox(box({ labels: {} }), held, [off]).writes).toEqual([]);
    expect(planBox(box(), [], [off]).writes).toEqual([]);
  });

  test("gives a draining box nothing new, and keeps what it has up to date", () => {
    const draining = box({ draining: true });
    expect(planBox(draining, [], [rollout()]).writes).toEqual([]);
    const held = settle([], planBox(box(), [], [rollout()]));
    const changed = settle(
      held,
      planBox(box({ draining: true, labels: { site: "north", camera: "10.0.0.8" } }), held, [rollout()]),
    );
    expect(changed[0]?.workload.spec).toMatchObject({ input: { url: "rtsp://10.0.0.8/1" } });
  });

  test("keeps a hibernated workload hibernated", () => {
    const held = settle([], planBox(box(), [], [rollout()])).map((entry) => ({
      ...entry,
      desired: "hibernated" as const,
    }));
    const changed = settle(held, planBox(box({ labels: { site: "north", camera: "10.0.0.9" } }), held, [rollout()]));
    expect(changed[0]).toMatchObject({
      desired: "hibernated",
      workload: { spec: { input: { url: "rtsp://10.0.0.9/1" } } },
    });
  });

  test("that cannot be filled in leaves what is there, and says why without repeating the template", () => {
    const held = settle([], planBox(box(), [], [rollout()]));
    const bare = box({ labels: { site: "north" } });
    const plan = planBox(bare, held, [rollout()]);
    expect(plan.writes).toEqual([]);
    expect(plan.standings.get("doors")).toEqual({ kind: "failed", reason: "the box has nothing for {{label.camera}}" });
    const wrong = rollout({
      template: { kind: "stream", id: "door", spec: { input: "rtsp://secret@x/1", outputs: [] } },
    });
    const failed = planBox(box(), [], [wrong]).standings.get("doors");
    expect(failed).toMatchObject({ kind: "failed" });
    expect(JSON.stringify(failed)).not.toContain("secret");
  });

  test("never takes the place of what a person or another rollout put there", () => {
    const held = [stream("door")];
    const plan = planBox(box(), held, [rollout()]);
    expect(plan.writes).toEqual([]);
    expect(plan.standings.get("doors")).toEqual({
      kind: "failed",
      reason: "workload door is there already and belongs to a person",
    });
    const two = planBox(box(), [], [rollout({ id: "b" }), rollout({ id: "a" })]);
    expect(two.writes.map(({ owner }) => owner)).toEqual(["rollout/a"]);
    expect(two.standings.get("b")).toMatchObject({ kind: "failed" });
  });
});

test("whatever is there, a second lap has nothing to do, and what people put there is untouched", () => {
  const someId = fc.constantFrom("w1", "w2", "w3");
  const entry = fc.record({ id: someId, owner: fc.constantFrom(undefined, "rollout/a", "rollout/b", "rollout/gone") });
  const some = fc.record({
    id: fc.constantFrom("a", "b", "c"),
    workloadId: someId,
    enabled: fc.boolean(),
    selector: fc.constantFrom("", "site=north", "site=south", "!site"),
  });
  const worlds = fc.record({
    entries: fc.uniqueArray(entry, { selector: ({ id }) => id }),
    rollouts: fc.uniqueArray(some, { selector: ({ id }) => id }),
    draining: fc.boolean(),
    site: fc.constantFrom("north", "south"),
  });
  fc.assert(
    fc.property(worlds, (world) => {
      const on = box({ draining: world.draining, labels: { site: world.site, camera: "1.2.3.4" } });
      const held = world.entries.map(({ id, owner }): ExpectedEntry => ({ ...stream(id), owner }));
      const rollouts = world.rollouts.map((given) => rollout(given));
      const first = settle(held, planBox(on, held, rollouts));
      expect(planBox(on, first, rollouts).writes).toEqual([]);
      const byPeople = (entries: readonly ExpectedEntry[]) => entries.filter(({ owner }) => owner === undefined);
      expect(byPeople(first).length).toBe(byPeople(held).length);
      const live = new Set(rollouts.map(({ id }) => ownerOf(id)));
      expect(first.filter(({ owner }) => owner !== undefined && !live.has(owner))).toEqual([]);
    }),
  );
});
