import type { Clock, Timer } from "../../src/base/clock.ts";
import type { CommandDelivery } from "../state/command-book.ts";
import {
  type ActiveFaults,
  afterEvent,
  answerToConnect,
  beatsAreSent,
  type ConnectAnswer,
  commandDelivery,
  planWrite,
  receiverIsFrozen,
  reportRefusal,
  type WritePlan,
  withFault,
  withoutExpired,
} from "./active-faults.ts";
import { type FaultKind, type FaultName, type FaultValues, findFault } from "./fault-catalog.ts";

/** Holds which lasting faults are on, and drops them when their time is over. */
export interface FaultBoard {
  add(kind: FaultKind & { name: FaultName }, values: FaultValues): void;
  /** All, or one by name. */
  clear(name?: string): void;
  active(): readonly ShownFault[];
  connectAnswer(): ConnectAnswer;
  /** The plan for one event to one connection. */
  writePlan(): WritePlan;
  /** One event went out to whoever is connected. */
  countEvent(): void;
  beats(): boolean;
  receiverIsFrozen(): boolean;
  reportRefusal(): number | undefined;
  commandDelivery(): CommandDelivery;
  onChange(listener: () => void): void;
  close(): void;
}

export interface ShownFault {
  readonly name: FaultName;
  readonly title: string;
  readonly values: FaultValues;
  readonly secondsLeft?: number;
  readonly eventsLeft?: number;
}

export function createFaultBoard(deps: { readonly clock: Clock }): FaultBoard {
  let faults: ActiveFaults = [];
  let timer: Timer | undefined;
  const listeners = new Set<() => void>();

  const set = (next: ActiveFaults) => {
    if (next === faults) return;
    faults = next;
    arm();
    for (const listener of listeners) listener();
  };
  const expire = () => set(withoutExpired(faults, deps.clock.monotonicMs()));
  /** Wakes when the next fault ends, so that whoever watches sees it end without asking. */
  const arm = () => {
    timer?.clear();
    const ends = faults.flatMap(({ untilMs }) => (untilMs === undefined ? [] : [untilMs]));
    timer = ends.length === 0 ? undefined : deps.clock.timer(Math.min(...ends) - deps.clock.monotonicMs() + 1, expire);
  };
  const current = () => {
    expire();
    return faults;
  };

  return {
    add: (kind, values) => set(withFault(faults, { kind, values, nowMs: deps.clock.monotonicMs() })),
    clear: (name) => set(name === undefined ? [] : faults.filter((fault) => fault.name !== name)),
    active: () => {
      const nowMs = deps.clock.monotonicMs();
      return current().map(({ name, values, untilMs, eventsLeft }) => ({
        name,
        title: findFault(name)?.title ?? name,
        values,
        ...(untilMs === undefined ? {} : { secondsLeft: Math.round((untilMs - nowMs) / 100) / 10 }),
        ...(eventsLeft === undefined ? {} : { eventsLeft }),
      }));
    },
    connectAnswer: () => answerToConnect(current()),
    writePlan: () => planWrite(current()),
    countEvent: () => set(afterEvent(faults)),
    beats: () => beatsAreSent(current()),
    receiverIsFrozen: () => receiverIsFrozen(current()),
    reportRefusal: () => reportRefusal(current()),
    commandDelivery: () => commandDelivery(current()),
    onChange: (listener) => void listeners.add(listener),
    close: () => timer?.clear(),
  };
}
