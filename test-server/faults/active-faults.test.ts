import { expect, test } from "vitest";
import {
  type ActiveFaults,
  afterEvent,
  answerToConnect,
  beatsAreSent,
  planWrite,
  receiverIsFrozen,
  reportRefusal,
  withFault,
  withoutExpired,
} from "./active-faults.ts";
import { parseFaultArguments } from "./fault-arguments.ts";
import { FAULTS, findFault } from "./fault-catalog.ts";

function ask(active: ActiveFaults, name: string, args: unknown = {}, nowMs = 0): ActiveFaults {
  const kind = findFault(name);
  if (kind === undefined) throw new TypeError(`no fault ${name}`);
  return withFault(active, { kind, values: parseFaultArguments(kind, args), nowMs });
}

test("without a fault a connection is served and events are written as they are", () => {
  expect(answerToConnect([])).toEqual({ kind: "serve" });
  expect(planWrite([])).toEqual({ delayMs: 0, byteByByte: false, closeAfter: false });
  expect(beatsAreSent([])).toBe(true);
  expect(reportRefusal([])).toBeUndefined();
});

test("each lasting fault changes exactly what it names", () => {
  expect(answerToConnect(ask([], "refuse", { status: 429, retryAfter: 7 }))).toEqual({
    kind: "refuse",
    status: 429,
    retryAfterSeconds: 7,
  });
  expect(answerToConnect(ask([], "silent", { headers: false }))).toEqual({ kind: "silent", headers: false });
  expect(answerToConnect(ask([], "html"))).toEqual({ kind: "html" });
  expect(answerToConnect(ask([], "redirect", { to: "http://x/", status: 302 }))).toEqual({
    kind: "redirect",
    status: 302,
    to: "http://x/",
  });
  expect(planWrite(ask([], "delay", { ms: 40 })).delayMs).toBe(40);
  expect(planWrite(ask([], "split")).byteByByte).toBe(true);
  expect(planWrite(ask([], "close-after-event")).closeAfter).toBe(true);
  expect(beatsAreSent(ask([], "no-beats"))).toBe(false);
  expect([receiverIsFrozen([]), receiverIsFrozen(ask([], "freeze"))]).toEqual([false, true]);
  expect(reportRefusal(ask([], "refuse-reports", { status: 500 }))).toBe(500);
});

test("what breaks a connection more wins over what breaks it less", () => {
  const both = ask(ask([], "html"), "refuse");
  expect(answerToConnect(both).kind).toBe("refuse");
  expect(answerToConnect(ask(both, "silent")).kind).toBe("silent");
});

test("a fault ends when its seconds are over, and 0 seconds last until cleared", () => {
  const active = ask(ask([], "html", { seconds: 2 }, 1000), "no-beats", { seconds: 0 }, 1000);
  expect(withoutExpired(active, 2999)).toBe(active);
  expect(withoutExpired(active, 3000).map(({ name }) => name)).toEqual(["no-beats"]);
});

test("a fault that lasts for a number of events is used up by them", () => {
  const two = ask([], "split", { events: 2 });
  expect(planWrite(afterEvent(two)).byteByByte).toBe(true);
  expect(afterEvent(afterEvent(two))).toEqual([]);
});

test("the same fault asked for again replaces the earlier one", () => {
  const active = ask(ask([], "refuse", { status: 503 }), "refuse", { status: 401 });
  expect(active).toHaveLength(1);
  expect(answerToConnect(active)).toMatchObject({ status: 401 });
});

test("every fault of the catalog accepts its own defaults", () => {
  for (const kind of FAULTS) {
    const values = parseFaultArguments(kind, {});
    expect(Object.keys(values)).toEqual(kind.args.map(({ name }) => name));
    expect(parseFaultArguments(kind, values)).toEqual(values);
  }
});

test.each([
  ["refuse", { status: "503" }, "status"],
  ["refuse", { status: 200 }, "status"],
  ["refuse", { colour: "red" }, "colour"],
  ["drop", { how: "gently" }, "how"],
  ["html", { drop: "yes" }, "drop"],
  ["retry", { value: "0\ndata: x" }, "value"],
  ["delay", { ms: Number.NaN }, "ms"],
])("%s with %j is refused and names the argument", (name, args, field) => {
  expect(() => ask([], name, args)).toThrow(expect.objectContaining({ code: "invalid", field }));
});
