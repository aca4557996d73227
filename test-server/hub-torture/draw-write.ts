import type { Chance } from "../torture/draw-action.ts";

/** What a box should run, as those who write it know it: every write changes it by one revision. */
export interface BoxModel {
  readonly boxId: string;
  readonly revision: number;
  readonly entries: ReadonlyMap<string, Entry>;
}

export interface Entry {
  readonly desired: "running" | "hibernated";
  readonly priority: number;
}

/** One request, and what the box should run once it is acknowledged. */
export interface FleetWrite {
  readonly method: "PUT" | "DELETE" | "POST";
  readonly path: string;
  readonly body: unknown;
  /** Only if the set still has the model's revision. */
  readonly isConditional: boolean;
  readonly next: BoxModel;
}

/** It runs from the beginning to the end, and nothing that is written may interrupt it. */
export const STEADY = "steady";
const BRIEF = "brief";
const SLEEPERS = 3;

export function firstWrite(boxId: string): FleetWrite {
  return put({ boxId, revision: 0, entries: new Map() }, STEADY, { desired: "running", priority: 50 });
}

/** Pure but for the chance. Each write differs from what is there, so each is one revision. */
export function drawWrite(chance: Chance, model: BoxModel): FleetWrite {
  const isConditional = chance.below(2) === 0;
  return { ...drawOne(chance, model), isConditional };
}

function drawOne(chance: Chance, model: BoxModel): FleetWrite {
  const kind = chance.pick(["steady", "steady", "sleeper", "sleeper", "sleeper", "brief", "wake"] as const);
  const priority = chance.below(101);
  if (kind === "steady") {
    const held = model.entries.get(STEADY)?.priority ?? 0;
    return put(model, STEADY, { desired: "running", priority: priority === held ? (held + 1) % 101 : priority });
  }
  const id = kind === "sleeper" ? `sleeper-${chance.below(SLEEPERS)}` : BRIEF;
  const held = model.entries.get(id);
  if (held === undefined) return put(model, id, { desired: kind === "sleeper" ? "hibernated" : "running", priority });
  if (kind !== "wake") return remove(model, id);
  return turn(model, id, held.desired === "running" ? "hibernated" : "running");
}

function put(model: BoxModel, id: string, entry: Entry): FleetWrite {
  // A place of its own for each: two streams of one box may not send to the same one.
  const port = id === STEADY ? 9 : id === BRIEF ? 10 : 11 + Number(id.at(-1));
  const spec = {
    input: { url: "test://bars?size=64x48&fps=2" },
    outputs: [{ url: `udp://127.0.0.1:${port}?pkt_size=1316` }],
  };
  return {
    method: "PUT",
    path: `/v1/boxes/${model.boxId}/workloads/${id}`,
    body: { workload: { kind: "stream", id, priority: entry.priority, spec }, desired: entry.desired },
    isConditional: false,
    next: stepped(model, (entries) => entries.set(id, entry)),
  };
}

function remove(model: BoxModel, id: string): FleetWrite {
  return {
    method: "DELETE",
    path: `/v1/boxes/${model.boxId}/workloads/${id}`,
    body: undefined,
    isConditional: false,
    next: stepped(model, (entries) => entries.delete(id)),
  };
}

function turn(model: BoxModel, id: string, desired: Entry["desired"]): FleetWrite {
  return {
    method: "POST",
    path: `/v1/boxes/${model.boxId}/workloads/${id}/${desired === "running" ? "wake" : "hibernate"}`,
    body: undefined,
    isConditional: false,
    next: stepped(model, (entries) => {
      const held = entries.get(id);
      if (held !== undefined) entries.set(id, { ...held, desired });
    }),
  };
}

function stepped(model: BoxModel, edit: (entries: Map<string, Entry>) => void): BoxModel {
  const entries = new Map(model.entries);
  edit(entries);
  return { ...model, revision: model.revision + 1, entries };
}
