import { describe, expect, test } from "vitest";
import { NOTHING_SHED, observePressure, type PressureFacts, type Runner, type ShedState } from "./shedding.ts";

const GIB = 2 ** 30;
const LIMITS = { shedCpuPercent: 90, memoryFreePercent: 5 };
const runner = (id: string, priority: number, extra: Partial<Runner> = {}): Runner => ({
  id,
  priority,
  cpuCores: 0.5,
  rssBytes: GIB,
  ...extra,
});

interface World {
  runners: Runner[];
  cpuPercent: number;
  pressure: number | undefined;
  availableBytes: number;
  expected: Set<string>;
}

function createBox(...runners: Runner[]) {
  const world: World = {
    runners,
    cpuPercent: 50,
    pressure: 50,
    availableBytes: 8 * GIB,
    expected: new Set(runners.map(({ id }) => id)),
  };
  const priorities = new Map(runners.map(({ id, priority }) => [id, priority]));
  let state: ShedState = NOTHING_SHED;
  let nowMs = 0;
  const events: string[] = [];
  return {
    world,
    events,
    state: () => state,
    /** Two seconds a look; who gives way stops running, who comes back runs again. */
    pass: (seconds: number) => {
      for (let passed = 0; passed < seconds; passed += 2) {
        nowMs += 2000;
        const shed = new Set(state.shed.map(({ id }) => id));
        const facts: PressureFacts = {
          countedMs: 2000,
          cores: 4,
          cpuPercent: world.cpuPercent,
          cpuPressurePercent: world.pressure,
          memory: { totalBytes: 16 * GIB, availableBytes: world.availableBytes },
          runners: world.runners.filter(({ id }) => world.expected.has(id) && !shed.has(id)),
          highestPriority: Math.max(
            0,
            ...[...world.expected].filter((id) => !shed.has(id)).map((id) => priorities.get(id) ?? 0),
          ),
          isExpected: (id) => world.expected.has(id),
        };
        const next = observePressure(state, facts, LIMITS);
        state = next.state;
        if (next.gave !== undefined) events.push(`${nowMs / 1000}: ${next.gave.id} gave (${next.gave.by})`);
        if (next.returned !== undefined) events.push(`${nowMs / 1000}: ${next.returned.id} returned`);
      }
    },
  };
}

describe("processor time", () => {
  test("after a minute of saturation the lowest priority gives, one a minute", () => {
    const box = createBox(runner("high", 90), runner("low", 10), runner("lower", 5));
    box.world.cpuPercent = 98;
    box.pass(58);
    expect(box.events).toEqual([]);
    box.pass(122);
    expect(box.events).toEqual(["60: lower gave (shed-cpu)", "120: low gave (shed-cpu)"]);
  });

  test("equals are never shed", () => {
    const box = createBox(runner("a", 50), runner("b", 50));
    box.world.cpuPercent = 100;
    box.pass(600);
    expect(box.events).toEqual([]);
  });

  test("a machine on which nobody waits for a processor is only busy", () => {
    const box = createBox(runner("high", 90), runner("low", 10));
    box.world.cpuPercent = 100;
    box.world.pressure = 2;
    box.pass(600);
    expect(box.events).toEqual([]);
    box.world.pressure = undefined;
    box.pass(60);
    expect(box.events).toHaveLength(1);
  });

  test("a short pause begins the minute anew", () => {
    const box = createBox(runner("high", 90), runner("low", 10));
    for (let round = 0; round < 5; round++) {
      box.world.cpuPercent = 98;
      box.pass(56);
      box.world.cpuPercent = 60;
      box.pass(4);
    }
    expect(box.events).toEqual([]);
  });

  test("who gave comes back after a minute of room, and later each time", () => {
    const box = createBox(runner("high", 90), runner("low", 10));
    const saturate = () => {
      box.world.cpuPercent = 98;
      box.pass(60);
      box.world.cpuPercent = 60;
    };
    saturate();
    box.pass(60);
    expect(box.events).toEqual(["60: low gave (shed-cpu)", "120: low returned"]);
    saturate();
    box.pass(118);
    expect(box.events).toHaveLength(3);
    box.pass(2);
    expect(box.events.slice(2)).toEqual(["180: low gave (shed-cpu)", "300: low returned"]);
  });

  test("no room for it, no return", () => {
    const box = createBox(runner("high", 90), runner("low", 10, { cpuCores: 1.5 }));
    box.world.cpuPercent = 98;
    box.pass(60);
    box.world.cpuPercent = 60;
    box.pass(600);
    expect(box.state().shed).toMatchObject([{ id: "low", roomMs: 0 }]);
  });

  test("once those that matter more are gone, nobody is to give way to", () => {
    const box = createBox(runner("high", 90), runner("low", 10));
    box.world.cpuPercent = 98;
    box.pass(60);
    box.world.expected.delete("high");
    box.pass(2);
    expect(box.events.at(-1)).toBe("62: low returned");
  });
});

describe("memory", () => {
  test("nearly gone for four seconds, the lowest gives, of equals the largest; then there are ten seconds to see", () => {
    const box = createBox(
      runner("high", 90, { rssBytes: 9 * GIB }),
      runner("small", 50),
      runner("leaky", 50, { rssBytes: 3 * GIB }),
    );
    box.world.availableBytes = 0.5 * GIB;
    box.pass(2);
    expect(box.events).toEqual([]);
    box.pass(12);
    expect(box.events).toEqual(["4: leaky gave (shed-memory)", "14: small gave (shed-memory)"]);
  });

  test("who holds next to nothing brings nothing", () => {
    const box = createBox(runner("a", 10, { rssBytes: GIB / 20 }), runner("b", 50, { rssBytes: GIB / 20 }));
    box.world.availableBytes = 0.1 * GIB;
    box.pass(600);
    expect(box.events).toEqual([]);
  });

  test("it comes back by itself when there is twice the floor and room for it", () => {
    const box = createBox(runner("a", 50), runner("leaky", 50, { rssBytes: 6 * GIB }));
    box.world.availableBytes = 0.5 * GIB;
    box.pass(4);
    box.world.availableBytes = 2 * GIB;
    box.pass(120);
    expect(box.events).toEqual(["4: leaky gave (shed-memory)"]);
    box.world.availableBytes = 6 * GIB;
    box.pass(60);
    expect(box.events.at(-1)).toBe("184: leaky returned");
  });
});

test("what is no longer expected is forgotten, its history too", () => {
  const box = createBox(runner("a", 50), runner("leaky", 50, { rssBytes: 6 * GIB }));
  box.world.availableBytes = 0.5 * GIB;
  box.pass(4);
  box.world.expected.delete("leaky");
  box.pass(2);
  expect(box.state().shed).toEqual([]);
  expect(box.state().times.size).toBe(0);
});

test("switched off, nothing gives", () => {
  const facts: PressureFacts = {
    countedMs: 600_000,
    cores: 1,
    cpuPercent: 100,
    cpuPressurePercent: 100,
    memory: { totalBytes: GIB, availableBytes: 0 },
    runners: [runner("a", 1), runner("b", 99)],
    highestPriority: 99,
    isExpected: () => true,
  };
  const off = { shedCpuPercent: 0, memoryFreePercent: 0 };
  const once = observePressure(NOTHING_SHED, facts, off);
  expect(observePressure(once.state, facts, off).gave).toBeUndefined();
});
