import type { Random } from "../../src/base/random.ts";
import type { FaultName, FaultValues } from "../faults/fault-catalog.ts";
import { type Action, TAMPER_WAYS, TAMPERED_FILES, type Tamper, type TortureStream } from "./action.ts";

/** What needs the server comes before what takes the server away. */
export const ORDER = ["set", "event", "files", "clock", "agent", "ffmpeg", "peer"] as const;
export type Category = (typeof ORDER)[number];

/** Each as often as its weight. */
export function categoriesOf({ disk }: Abilities): readonly Category[] {
  const weighted: readonly Category[] = [
    "set",
    "event",
    "event",
    "agent",
    "agent",
    "agent",
    "ffmpeg",
    "ffmpeg",
    "peer",
  ];
  return [...weighted, "files", "clock", ...(disk ? (["files"] as const) : [])];
}

/** What the machine allows: without root there are no disks and networks of one's own. */
export interface Abilities {
  readonly disk: boolean;
  readonly network: boolean;
}

/** A shrink to one must always stop more than half and more than two, or the guard would rightly let it pass. */
export const FEWEST_STREAMS = 4;
const SPARE_STREAMS = 2;

export interface Chance {
  below(limit: number): number;
  between(low: number, high: number): number;
  pick<Value>(values: readonly [Value, ...Value[]] | readonly Value[]): Value;
  /** Up to `count` different ones. */
  some<Value>(values: readonly Value[], count: number): readonly Value[];
}

export function createChance(random: Random): Chance {
  const below = (limit: number) => Math.floor(random() * limit);
  const pick: Chance["pick"] = (values) => {
    const index = below(values.length);
    const [value] = values.slice(index, index + 1);
    if (value === undefined) throw new RangeError("nothing to pick from");
    return value;
  };
  return {
    below,
    between: (low, high) => low + below(high - low + 1),
    pick,
    some: (values, count) => [...new Set(Array.from({ length: count }, () => pick(values)))],
  };
}

export interface Draw {
  readonly chance: Chance;
  readonly expected: readonly TortureStream[];
  /** Streams take turns, or one of them would climb to the longest wait between two starts. */
  readonly victim: number;
  /** How many there were at the start. */
  readonly streams: number;
  readonly abilities: Abilities;
}

/** One action of the category. */
export function drawAction(category: Category, given: Draw): Action {
  const { chance, expected } = given;
  switch (category) {
    case "set":
      return drawSet(given);
    case "event":
      return drawEvent(chance);
    case "files": {
      if (!given.abilities.disk || chance.below(3) === 0) return { kind: "stray", id: chance.pick(expected).id };
      return { kind: "disk", how: chance.pick(["full", "read-only"]), ms: chance.between(1000, 6000) };
    }
    case "clock":
      return { kind: "clock", seconds: chance.pick([-1, 1]) * chance.pick([2, 3600, 86_400, 31_536_000]) };
    case "agent":
      return drawAgent(chance);
    case "ffmpeg": {
      const { id } = expected[given.victim % expected.length] ?? chance.pick(expected);
      return { kind: "ffmpeg", id, signal: chance.pick(["SIGKILL", "SIGKILL", "SIGTERM", "SIGSTOP"]) };
    }
    case "peer":
      return drawPeer(given);
  }
}

function drawSet({ chance, expected, streams }: Draw): Action {
  const kinds = ["change", "shrink", "shrink"] as const;
  const canGrow = expected.length < streams + SPARE_STREAMS;
  const canRemove = expected.length > FEWEST_STREAMS;
  const kind = chance.pick([...kinds, ...(canGrow ? ["put" as const] : []), ...(canRemove ? ["remove" as const] : [])]);
  switch (kind) {
    case "shrink":
      return { kind, keep: chance.below(2), how: chance.pick(["replace", "lose-state"]) };
    case "put": {
      const taken = new Set(expected.map(({ id }) => id));
      let index = 1;
      while (taken.has(`cam-${index}`)) index++;
      return { kind, stream: { id: `cam-${index}`, version: chance.between(2, 1_000_000) } };
    }
    case "change":
      return { kind, stream: { id: chance.pick(expected).id, version: chance.between(2, 1_000_000) } };
    case "remove":
      return { kind, stream: chance.pick(expected) };
  }
}

const UNKNOWN_EVENTS: readonly string[] = [
  "event: weather\ndata: {}\n\n",
  "event: command\ndata: {}\n\n",
  'event: command\ndata: {"id":"c-1","name":"dance","args":{"a":[1]}}\n\n',
  'event: expected\ndata: {"epoch":1,"revision":"x","workloads":{}}\n\n',
  'event: change\ndata: {"revision":-4,"put":[{"kind":"stream"}]}\n\n',
  'event: change\ndata: {"version":99,"revision":2}\n\n',
  'data: {"eventType":"dance","id":"cam-1"}\n\n',
  'data: {"eventType":"start","input":42,"output":null}\n\n',
  'data: {"type":"connection"}\n\n',
  ":\n:\n\n\n\ndata\n\n",
  "event: expected\ndata: {\n\n",
];

function drawEvent(chance: Chance): Action {
  const fault = (name: FaultName, args: FaultValues, ms = 0): Action => ({ kind: "fault", name, args, ms });
  const seconds = chance.between(1, 4);
  const ms = seconds * 1000;
  return chance.pick<() => Action>([
    () => ({ kind: "send", raw: chance.pick(UNKNOWN_EVENTS) }),
    () => ({ kind: "send", raw: chance.pick(UNKNOWN_EVENTS) }),
    () => fault("garbage", { bytes: chance.between(1, 100_000) }),
    () => fault("huge", { megabytes: chance.between(1, 12) }),
    () => fault("wrong-type", {}),
    () => fault("invalid-json", {}),
    () => fault("deep", { depth: chance.between(33, 20_000) }),
    () => fault("retry", { value: chance.pick(["0", "-1", "soon", "1e99"]) }),
    () => fault("drop", { how: chance.pick(["cut", "reset", "end"]) }),
    () => fault("refuse", { status: chance.pick([500, 502, 503]), seconds, drop: true }, ms),
    () => fault("html", { seconds, drop: true }, ms),
    () => fault("silent", { seconds, headers: chance.below(2) === 0 }, ms),
    () => fault("no-beats", { seconds }, ms),
    () => fault("split", { events: 3 }),
    () => fault("delay", { ms: 500, seconds }, ms),
    () => fault("close-after-event", { seconds }, ms),
    () => fault("refuse-reports", { status: chance.pick([400, 413, 500, 503]), seconds }, ms),
  ])();
}

function drawAgent(chance: Chance): Action {
  const kind = chance.pick(["end", "end", "end", "end", "freeze", "second"]);
  if (kind === "second") return { kind: "agent-second" };
  if (kind === "freeze") return { kind: "agent-freeze", ms: chance.between(500, 6000) };
  const signal = chance.pick(["SIGKILL", "SIGKILL", "SIGTERM"] as const);
  return { kind: "agent-end", signal, downMs: chance.pick([0, 0, 300, 3000]), tamper: drawTamper(chance) };
}

function drawTamper(chance: Chance): Tamper | undefined {
  return chance.pick<() => Tamper | undefined>([
    () => undefined,
    () => ({ kind: "file", file: chance.pick(TAMPERED_FILES), how: chance.pick(TAMPER_WAYS) }),
    () => ({ kind: "file", file: chance.pick(TAMPERED_FILES), how: chance.pick(TAMPER_WAYS) }),
    () => ({ kind: "forge" }),
    () => ({ kind: "lock", how: chance.pick(["dead-owner", "other-process", "file"]) }),
  ])();
}

function drawPeer({ chance, abilities }: Draw): Action {
  const kind = chance.pick(["kill", "freeze", ...(abilities.network ? ["network" as const] : [])] as const);
  if (kind === "kill") return { kind: "server-kill", downMs: chance.pick([0, 500, 6000, 12_000]) };
  const ms = chance.pick([chance.between(1000, 9000), chance.between(9000, 15_000)]);
  if (kind === "freeze") return { kind: "server-freeze", ms };
  return { kind: "network", how: chance.pick(["both", "in", "out", "cable"]), ms };
}
