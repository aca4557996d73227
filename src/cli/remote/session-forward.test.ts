import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import type { HubClient } from "../../client/hub-client.ts";
import type { SessionView } from "../../contract/fleet/session.ts";
import { createTestContext } from "../command-context.fake.ts";
import { runProgram } from "../program.ts";
import { chooseSessionPorts } from "./choose-session-ports.ts";
import { judgeReach } from "./judge-reach.ts";
import { type BoxHand, createFakeConsole, createRemoteWorld } from "./remote-world.fake.ts";

const PORTS = [
  { name: "web", port: 80, scheme: "http" },
  { port: 53, protocol: "udp" },
  { port: 53 },
] satisfies SessionView["wish"]["template"]["ports"];

const AT = "2026-01-15T10:30:45.000Z";
const viewOf = (given: Partial<SessionView> = {}): SessionView => ({
  id: "app",
  revision: 1,
  user: "anna",
  state: "running",
  since: AT,
  box: "north-1",
  power: { state: "running", turn: 1 },
  session: { user: "anna", turn: 1 },
  wish: { id: "app", user: "anna", template: { command: ["/bin/app"], ports: PORTS } },
  createdAt: AT,
  updatedAt: AT,
  ...given,
});

test.each([
  [[], ["web 80/tcp 0", "53/udp 0", "53/tcp 0"]],
  [["web"], ["web 80/tcp 0"]],
  [["8080:80"], ["web 80/tcp 8080"]],
  [
    ["0.0.0.0:8080:web", "[::1]:0:53/udp"],
    ["web 80/tcp 8080 0.0.0.0", "53/udp 0 ::1"],
  ],
  [["*:0:web"], ["web 80/tcp 0 ::"]],
])("ports %o are %o", (texts, expected) => {
  const chosen = chooseSessionPorts(texts, { id: "app", ports: PORTS });
  const shown = chosen.map(({ name, port, protocol, local, bind }) =>
    [name, `${port}/${protocol}`, local, bind].filter((part) => part !== undefined).join(" "),
  );
  expect(shown).toEqual(expected);
});

test.each([
  ["53", "it may be any of 53/udp, 53/tcp"],
  ["81", "session app declares 80/tcp (web), 53/udp, 53/tcp"],
  ["web/udp", "session app declares"],
  ["x:80", '"x" is no local port'],
  ["70000:80", '"70000" is no local port'],
  [":8080:80", "allowed: [[ADDRESS:]LOCAL:]PORT[/udp]"],
  ["a:1:2:80", "allowed: [[ADDRESS:]LOCAL:]PORT[/udp]"],
  ["[::1:80", "allowed: [[ADDRESS:]LOCAL:]PORT[/udp]"],
  ["", "allowed: [[ADDRESS:]LOCAL:]PORT[/udp]"],
])("port %j is refused: %s", (text, problem) => {
  expect(() => chooseSessionPorts([text], { id: "app", ports: PORTS })).toThrow(problem);
});

test("a session without ports has none to reach", () => {
  expect(() => chooseSessionPorts([], { id: "app", ports: undefined })).toThrow("declares no port");
});

const unavailable = new AppError("unavailable", "session app is on its way");
const ASLEEP = { state: "hibernated", session: { user: "anna", turn: 1 } } as const;
test.each([
  ["a box that refuses", { error: new AppError("refused", "policy") }, "fail policy"],
  ["one that was stopped", { session: undefined }, "fail session app was stopped"],
  ["a hub that is away", { session: "unknown" as const }, "again"],
  ["a hub that stays away", { session: "unknown" as const, waitedMs: 60_000 }, "fail session app is on its way"],
  ["another box", { session: viewOf({ box: "north-2" }) }, "move north-2"],
  ["one that runs, a moment too early", {}, "again"],
  ["one that runs and does not listen", { waitedMs: 10_000 }, "fail session app is on its way"],
  ["one that starts", { session: viewOf({ state: "starting" }), waitedMs: 59_000 }, "again"],
  [
    "one that has ended",
    { session: viewOf({ state: "ended", reason: "done" }) },
    "fail session app is ended on north-1: done",
  ],
  [
    "one that sleeps",
    { session: viewOf(ASLEEP) },
    "fail session app is hibernated on north-1; sluice session wake app wakes it, and --wake does at each connection",
  ],
  ["one that sleeps, with leave to wake it", { session: viewOf(ASLEEP), mayWake: true }, "wake"],
  [
    "one that was just told to wake",
    { session: viewOf({ ...ASLEEP, power: { state: "running", turn: 2 } }), mayWake: true },
    "again",
  ],
  [
    "one that falls asleep, with leave",
    { session: viewOf({ state: "hibernating", power: { state: "hibernated", turn: 2 } }), mayWake: true },
    "wake",
  ],
])("%s", (_name, given, expected) => {
  const step = judgeReach({
    id: "app",
    session: viewOf(),
    box: "north-1",
    error: unavailable,
    mayWake: false,
    waitedMs: 0,
    ...given,
  });
  const detail = step.kind === "fail" ? ` ${step.reason}` : step.kind === "move" ? ` ${step.to}` : "";
  expect(`${step.kind}${detail}`).toBe(expected);
});

/** The hub's word on the session, which tests change. */
function start(args: readonly string[], hand: BoxHand, boxes?: readonly string[]) {
  const world = createRemoteWorld(hand, boxes === undefined ? {} : { boxes });
  const state = { view: viewOf() as SessionView | undefined, turns: [] as string[] };
  const sessions = {
    get: async () => {
      if (state.view === undefined) throw new AppError("not-found", "no session app");
      return state.view;
    },
    turn: async (_id: string, verb: string) => {
      state.turns.push(verb);
      state.view = viewOf({ power: { state: "running", turn: 2 }, session: { user: "anna", turn: 2 } });
      return state.view;
    },
  };
  const hub = { ...world.hub, sessions } as unknown as HubClient;
  const stop = new AbortController();
  const base = createTestContext("/nowhere");
  const context = createTestContext("/nowhere", {
    env: { SLUICE_HUB: "https://hub.test", SLUICE_HUB_TOKEN: "t" },
    signal: stop.signal,
    connectHub: () => Promise.resolve(hub),
    remote: { ...base.remote, ...world.tools, openConsole: () => Promise.resolve(createFakeConsole().console) },
  });
  return { world, state, context, stop, exit: runProgram(["session", "forward", ...args], context) };
}

async function listening(run: ReturnType<typeof start>) {
  await expect.poll(() => run.context.out().includes("\n"), { timeout: 20_000 }).toBe(true);
  return JSON.parse(run.context.out().split("\n")[0] ?? "");
}

async function say(port: number, text: string): Promise<string> {
  const socket: Socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  socket.end(text);
  let answer = "";
  for await (const piece of socket) answer += String(piece);
  return answer;
}
const portOf = (shown: { forwards: { local: string[] }[] }) => Number(shown.forwards[0]?.local[0]?.split(":").at(-1));

/** Answers with the box's name and what it was asked. */
const answer: BoxHand = async (channel, _what, box) => {
  channel.accept();
  let text = "";
  for await (const piece of channel.readable("in")) text += String(piece);
  channel.writable("out").end(`${box} heard ${text}`);
};

test("a connection goes to the session's own port, and the URL is shown", async () => {
  const asked: unknown[] = [];
  const run = start(["app", "web", "--json"], (channel, what, box) => {
    asked.push(what);
    return answer(channel, what, box);
  });
  const shown = await listening(run);
  expect(shown).toMatchObject({
    type: "listening",
    session: "app",
    box: "north-1",
    forwards: [{ port: 80, protocol: "tcp", name: "web", url: `http://127.0.0.1:${portOf(shown)}` }],
  });
  expect(await say(portOf(shown), "hello")).toBe("north-1 heard hello");
  expect(asked).toEqual([{ kind: "dial", host: "app", port: 80 }]);
  expect(run.world.created).toEqual([
    {
      box: "north-1",
      create: { operation: { kind: "session", session: "app", ports: [{ port: 80, protocol: "tcp" }] }, seal: false },
    },
  ]);
  run.stop.abort();
  expect(await run.exit).toBe(0);
});

test("a session that sleeps is woken once by all who come, and each of them is served", async () => {
  const run: ReturnType<typeof start> = start(["app", "web", "--wake", "--json"], (channel, what, box) => {
    if (run.state.turns.length === 0) return channel.refuse(new AppError("conflict", "session app sleeps"));
    return answer(channel, what, box);
  });
  run.state.view = viewOf(ASLEEP);
  const port = portOf(await listening(run));
  expect(await Promise.all(["a", "b", "c"].map((text) => say(port, text)))).toEqual([
    "north-1 heard a",
    "north-1 heard b",
    "north-1 heard c",
  ]);
  expect(run.state.turns).toEqual(["wake"]);
  run.stop.abort();
  expect(await run.exit).toBe(0);
});

test("without leave to wake it the connection is reset, and a line says what would wake it", async () => {
  const run = start(["app", "web", "--json"], (channel) =>
    channel.refuse(new AppError("conflict", "session app sleeps")),
  );
  run.state.view = viewOf(ASLEEP);
  const socket = connect({ host: "127.0.0.1", port: portOf(await listening(run)) });
  const [error] = await once(socket, "error");
  expect(error).toMatchObject({ code: "ECONNRESET" });
  expect(run.context.err()).toContain(
    "app:80 cannot be reached: session app is hibernated on north-1; sluice session wake app",
  );
  expect(run.state.turns).toEqual([]);
  run.stop.abort();
  expect(await run.exit).toBe(0);
});

test("a session that has moved is followed to its other box, and the local port stays", async () => {
  const hand: BoxHand = (channel, what, box) => {
    if (box === "north-1") return channel.refuse(new AppError("not-found", "no session app is on this box"));
    return answer(channel, what, box);
  };
  const run = start(["app", "web", "--json"], hand, ["north-1", "north-2"]);
  const port = portOf(await listening(run));
  run.state.view = viewOf({ box: "north-2" });
  expect(await say(port, "hello")).toBe("north-2 heard hello");
  expect(run.world.created.map(({ box }) => box)).toEqual(["north-1", "north-2"]);
  expect(run.context.err()).toContain("session app is on north-2 now");
  run.stop.abort();
  expect(await run.exit).toBe(0);
});

test("a session without a box has nothing to be reached at, and says why", async () => {
  const run = start(["app"], answer);
  run.state.view = viewOf({ state: "unplaced", box: undefined, reason: "no box has room" });
  expect(await run.exit).toBe(252);
  expect(run.context.err()).toContain("session app is unplaced: no box has room");
  expect(run.world.created).toEqual([]);
});

test("the command ends when its session was stopped and the box closes it", async () => {
  const run = start(["app", "web", "--json"], answer);
  const port = portOf(await listening(run));
  // Both ends remember the session only once something has passed between them.
  expect(await say(port, "hello")).toContain("heard hello");
  run.state.view = undefined;
  run.world.forget();
  run.world.carrier().break();
  expect(await run.exit).toBe(254);
  await systemClock.delay(0);
});
