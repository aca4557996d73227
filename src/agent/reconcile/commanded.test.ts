import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { SessionCommand } from "../../contract/session-command.ts";
import type { Workload } from "../../contract/workload.ts";
import {
  COMMANDED_MAX,
  type CommandedState,
  clearSessions,
  decideWish,
  ENDED_KEPT,
  mergeCommanded,
  NOTHING_COMMANDED,
  OUTCOMES_KEPT,
  yieldTo,
} from "./commanded.ts";

type Wish = Exclude<SessionCommand, { readonly name: "TouchSession" }>;

const specOf = (id: string, image = "nginx:1") => ({ id, user: "anna", template: { image } });
const start = (generation: number, id = "web", image?: string): Wish => ({
  name: "StartSession",
  spec: specOf(id, image),
  generation,
});
const wish = (name: "StopSession" | "HibernateSession" | "WakeSession", generation: number, id = "web"): Wish => ({
  name,
  id,
  generation,
});
const none: ReadonlyMap<string, Workload> = new Map();
const decide = (state: CommandedState, one: Wish, commandId = "c") =>
  decideWish(state, one, { commandId, expected: none });
const played = (...wishes: readonly Wish[]) =>
  wishes.reduce((state, one, index) => decide(state, one, `c${index}`).state, NOTHING_COMMANDED);
const answers = (...wishes: readonly Wish[]) => {
  let state = NOTHING_COMMANDED;
  return wishes.map((one) => {
    const { state: next, ok, text } = decide(state, one);
    state = next;
    return `${ok ? "ok" : "no"} ${text}`;
  });
};
const powerOf = (state: CommandedState, id = "web") => state.sessions.get(id)?.workload.power;

describe("the life of a session", () => {
  test("is started, hibernated, woken and stopped, each wish with a later turn", () => {
    expect(answers(start(1), wish("HibernateSession", 2), wish("WakeSession", 3), wish("StopSession", 4))).toEqual([
      "ok started",
      "ok hibernated",
      "ok woken",
      "ok stopped",
    ]);
    expect(powerOf(played(start(1), wish("HibernateSession", 2)))).toEqual({ state: "hibernated", turn: 2 });
    expect(powerOf(played(start(1), wish("HibernateSession", 2), start(5)))).toEqual({ state: "running", turn: 5 });
  });

  test("the same command again is already done, and changes nothing", () => {
    const state = played(start(3));
    expect(decide(state, start(3))).toEqual({ state, ok: true, text: "already" });
    const stopped = played(start(3), wish("StopSession", 4));
    expect(decide(stopped, wish("StopSession", 4))).toEqual({ state: stopped, ok: true, text: "already" });
  });

  test("a stop before its start leaves nothing to start, with the same generation too", () => {
    expect(answers(wish("StopSession", 4), start(3), start(4), start(5))).toEqual([
      "ok stopped: it did not run, and nothing up to this generation starts it",
      "no older generation 3 than 4",
      "no older generation 4: it was stopped with the same one",
      "ok started",
    ]);
  });

  test("another wish with one generation is a conflict, but for a stop", () => {
    expect(answers(start(3), start(3, "web", "other:1"), wish("HibernateSession", 3), wish("StopSession", 3))).toEqual([
      "ok started",
      "no conflict: generation 3 has asked for something else; give a higher one",
      "no conflict: generation 3 has asked for something else; give a higher one",
      "ok stopped",
    ]);
  });

  test("a wish for what nobody started is answered, and does not keep its start from coming", () => {
    expect(answers(wish("HibernateSession", 4), start(3))).toEqual([
      "no unknown session: none web was started by a command",
      "ok started",
    ]);
  });

  test("a later start with other settings changes it, with the same ones only its turn", () => {
    expect(answers(start(1), start(2, "web", "nginx:2"), start(3, "web", "nginx:2"))).toEqual([
      "ok started",
      "ok changed",
      "ok already",
    ]);
    expect(powerOf(played(start(1), start(2)))).toEqual({ state: "running", turn: 2 });
  });
});

describe("beside the server's set", () => {
  const named = new Map<string, Workload>([["web", { kind: "session", id: "web", spec: specOf("x") }]]);

  test("a session that it names is a conflict, also for a stop", () => {
    for (const one of [start(9), wish("StopSession", 9), wish("WakeSession", 9)]) {
      const decision = decideWish(NOTHING_COMMANDED, one, { commandId: "c", expected: named });
      expect(decision.state).toBe(NOTHING_COMMANDED);
      expect(decision).toMatchObject({
        ok: false,
        text: expect.stringMatching(/^conflict: the server's expected set/),
      });
    }
  });

  test("a session that it comes to name is its own from then on, and does not come back when it names it no more", () => {
    const state = yieldTo(played(start(3), start(1, "other")), named);
    expect([...state.sessions.keys()]).toEqual(["other"]);
    expect(decide(state, start(3)).ok).toBe(false);
    expect(yieldTo(state, named)).toBe(state);
  });

  test("both are one set, in which the server's word counts", () => {
    const merged = mergeCommanded(named, played(start(1), start(1, "other")));
    expect([...merged.keys()]).toEqual(["web", "other"]);
    expect(merged.get("web")).toBe(named.get("web"));
    expect(mergeCommanded(named, NOTHING_COMMANDED)).toBe(named);
  });
});

test("after a reboot that clears, the same start may come again, an older one not", () => {
  const state = clearSessions(played(start(3), wish("StopSession", 7, "gone")));
  expect(state.sessions.size).toBe(0);
  expect(decide(state, start(2)).ok).toBe(false);
  expect(decide(state, start(3)).text).toBe("started");
  expect(decide(state, start(7, "gone")).ok).toBe(false);
});

test("what is remembered is bounded", () => {
  let state = NOTHING_COMMANDED;
  for (let index = 0; index < ENDED_KEPT + 10; index++)
    state = decide(state, wish("StopSession", 5, `s-${index}`)).state;
  expect([state.ended.size, state.outcomes.length]).toEqual([ENDED_KEPT, OUTCOMES_KEPT]);
  expect(state.ended.has("s-0")).toBe(false);
  for (let index = 0; index < COMMANDED_MAX; index++) state = decide(state, start(9, `n-${index}`)).state;
  expect(decide(state, start(9, "more")).text).toBe(
    `exhausted: ${COMMANDED_MAX} sessions are expected by command already`,
  );
  expect(decide(state, wish("StopSession", 10, "n-1")).text).toBe("stopped");
});

test("in whatever order and however often commands come, the highest generation counts", () => {
  const name = fc.constantFrom("StartSession" as const, "StopSession" as const);
  const lists = fc.uniqueArray(fc.record({ generation: fc.integer({ min: 1, max: 20 }), name }), {
    minLength: 1,
    selector: ({ generation }) => generation,
  });
  const deliveries = lists.chain((list) =>
    fc.record({
      list: fc.constant(list),
      order: fc
        .array(fc.nat({ max: list.length - 1 }), { maxLength: 40 })
        .map((extra) => [...extra, ...list.keys()])
        .chain((indices) => fc.shuffledSubarray(indices, { minLength: indices.length })),
    }),
  );
  fc.assert(
    fc.property(deliveries, ({ list, order }) => {
      const wishes = order.flatMap((index) => {
        const one = list[index];
        if (one === undefined) return [];
        return [one.name === "StartSession" ? start(one.generation) : wish("StopSession", one.generation)];
      });
      const last = list.toSorted((one, other) => other.generation - one.generation)[0];
      const state = played(...wishes);
      expect(state.sessions.has("web")).toBe(last?.name === "StartSession");
      expect(state.sessions.get("web")?.generation ?? state.ended.get("web")).toBe(last?.generation);
    }),
  );
});
