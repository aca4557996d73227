import { seededRandom } from "../../src/base/random.ts";
import type { Action, TortureStream } from "./action.ts";
import { type Abilities, type Category, categoriesOf, createChance, drawAction, ORDER } from "./draw-action.ts";

export interface TimedAction {
  /** After the one before it was begun. */
  readonly afterMs: number;
  readonly action: Action;
}

export interface Step {
  readonly number: number;
  readonly actions: readonly TimedAction[];
  /** What the server expects when the step is over. */
  readonly expected: readonly TortureStream[];
}

export interface ScheduleOptions {
  readonly seed: number;
  readonly streams: number;
  readonly abilities: Abilities;
}

/** The steps in their order, without end. A pure function of the options: the same seed gives the same steps. */
export function* torturePlan(options: ScheduleOptions): Generator<Step, never> {
  const chance = createChance(seededRandom(options.seed));
  let expected: readonly TortureStream[] = firstStreams(options.streams);
  let victim = chance.below(options.streams);
  for (let number = 1; ; number++) {
    const chosen: readonly Category[] = chance.some(categoriesOf(options.abilities), chance.pick([1, 1, 2, 2, 3]));
    const actions: TimedAction[] = [];
    for (const category of ORDER.filter((name) => chosen.includes(name))) {
      const action = drawAction(category, { ...options, chance, expected, victim });
      if (category === "set") expected = afterSet(expected, action);
      if (category === "ffmpeg") victim++;
      actions.push({ afterMs: actions.length === 0 ? 0 : chance.between(0, 1200), action });
    }
    yield { number, actions, expected };
  }
}

export function firstStreams(count: number): readonly TortureStream[] {
  return Array.from({ length: count }, (_, index) => ({ id: `cam-${index + 1}`, version: 1 }));
}

function afterSet(expected: readonly TortureStream[], action: Action): readonly TortureStream[] {
  switch (action.kind) {
    case "put":
      return [...expected, action.stream];
    case "change":
      return expected.map((stream) => (stream.id === action.stream.id ? action.stream : stream));
    case "remove":
      return expected.filter(({ id }) => id !== action.stream.id);
    default:
      return expected;
  }
}
