import { expect, test } from "vitest";
import type { SessionWish } from "../../contract/fleet/session.ts";
import { type BoxOffer, chooseBox } from "./choose-box.ts";
import { seatOf } from "./seats.ts";
import { FACTS, wishOf } from "./session-world.fake.ts";

const offer = (id: string, given: Partial<BoxOffer> = {}): BoxOffer => ({
  id,
  state: "approved",
  draining: false,
  labels: {},
  isQuarantined: false,
  connection: "online",
  facts: FACTS,
  run: "run-1",
  seats: {},
  ...given,
});
const choose = (wish: Partial<SessionWish>, ...offers: BoxOffer[]) =>
  chooseBox(wishOf(wish), offers, { avoid: new Map() });
const seats = (...wishes: Partial<SessionWish>[]) =>
  Object.fromEntries(wishes.map((wish, at) => [`other-${at}`, seatOf(wishOf(wish))]));
const docker = { platform: "docker", isReady: true } as const;
const big = { resources: { cpu: "3", memory: "6Gi" } };

test.each<[string, Partial<SessionWish>, Partial<BoxOffer>, string]>([
  ["waits for approval", {}, { state: "pending" }, "it is pending"],
  ["is revoked", {}, { state: "revoked" }, "it is revoked"],
  ["is quarantined", {}, { isQuarantined: true }, "it is kept away from its workloads: another uses its identity"],
  ["has other labels", { select: "zone=a" }, { labels: { zone: "b" } }, "its labels do not match zone=a"],
  ["tells nothing of sessions", {}, { facts: undefined }, "it does not tell what sessions it can run"],
  [
    "has no engine for an image",
    {},
    { facts: { platforms: [{ platform: "process", isReady: true }] } },
    "it has no platform for images; it has process",
  ],
  [
    "has an engine that is away",
    {},
    { facts: { platforms: [{ platform: "docker", isReady: false, reason: "Docker Engine does not answer" }] } },
    "docker is not ready there: Docker Engine does not answer",
  ],
  [
    "has not the platform that is wished for",
    { platform: "podman" },
    { facts: { platforms: [docker] } },
    "it has no podman; it has docker",
  ],
  [
    "runs no plain commands",
    { template: { command: ["/bin/true"] } },
    { facts: { platforms: [docker] } },
    "it has no platform process; it has docker",
  ],
  ["drains", {}, { draining: true }, "it is draining"],
  ["is offline", {}, { connection: "offline" }, "it is offline"],
  ["is degraded", {}, { connection: "degraded" }, "it is degraded"],
  ["was never heard", {}, { connection: "never" }, "it is not heard yet"],
  [
    "has as many sessions as it takes",
    {},
    { facts: { ...FACTS, maxSessions: 2 }, seats: seats({}, {}) },
    "it has 2 sessions, and takes 2 (sessions.max)",
  ],
  ["takes none", {}, { facts: { ...FACTS, maxSessions: 0 } }, "it has 0 sessions, and takes 0 (sessions.max)"],
  [
    "has another session on the port",
    { template: { image: "web:1", ports: [{ port: 80, hostPort: 8080 }] } },
    { seats: seats({ template: { image: "web:1", ports: [{ port: 9, hostPort: 8080, address: "127.0.0.1" }] } }) },
    "port 8080/tcp is taken by session other-0",
  ],
  ["has no GPU", { resources: { gpus: 1 } }, {}, "gpus: 1 is needed, 0 of 0 are free"],
  [
    "has its GPUs in use",
    { resources: { gpus: 2 } },
    { facts: { ...FACTS, gpus: 2 }, seats: seats({ resources: { gpus: 1 } }) },
    "gpus: 2 are needed, 1 of 2 are free",
  ],
  [
    "has too little memory left",
    big,
    { seats: seats({ resources: { memory: "2560Mi" } }) },
    "memory: 6Gi are needed, 5.5Gi of 8Gi are free",
  ],
  [
    "has too little processor left",
    big,
    { seats: seats({ resources: { cpu: "1500m" } }) },
    "cpu: 3 are needed, 2.5 of 4 are free",
  ],
  ["has too little of both", big, { seats: seats(big) }, "memory: 6Gi are needed, 2Gi of 8Gi are free"],
])("a box is passed over that %s", (_what, wish, given, reason) => {
  const { box, reason: why, passedOver } = choose(wish, offer("north", given));
  expect(box).toBeUndefined();
  expect(passedOver).toEqual([{ box: "north", reason }]);
  expect(why).toBe(`the one box cannot take it; nearest is north: ${reason}`);
  // The same wish, on a box against which nothing speaks.
  const able = {
    facts: { ...FACTS, gpus: 4, platforms: [...FACTS.platforms, { ...docker, platform: "podman" as const }] },
  };
  expect(choose(wish, offer("north", given), offer("south", { labels: { zone: "a" }, ...able })).box).toBe("south");
});

test.each<[string, Partial<SessionWish>, Partial<BoxOffer>]>([
  [
    "the port of another protocol",
    { template: { image: "w", ports: [{ port: 80, hostPort: 53, protocol: "udp" }] } },
    { seats: seats({ template: { image: "w", ports: [{ port: 53, hostPort: 53 }] } }) },
  ],
  [
    "the port on another address",
    { template: { image: "w", ports: [{ port: 80, hostPort: 80, address: "192.0.2.1" }] } },
    { seats: seats({ template: { image: "w", ports: [{ port: 80, hostPort: 80, address: "127.0.0.1" }] } }) },
  ],
  ["exactly what is left", big, { seats: seats({ resources: { cpu: "1", memory: "2Gi" } }) }],
  ["what its box does not count", big, { facts: { platforms: [docker] }, seats: seats(big, big) }],
  ["nothing, of a full box", {}, { seats: seats({ resources: { cpu: "4", memory: "8Gi" } }) }],
])("a session can have %s", (_what, wish, given) => {
  expect(choose(wish, offer("north", given)).box).toBe("north");
});

test("the box with the fewest sessions is taken, of several as full the first, and the others are told why they were not", () => {
  const offers = [
    offer("d", { draining: true }),
    offer("c", { seats: seats({}) }),
    offer("b", { seats: seats({}) }),
    offer("a", { seats: seats({}, {}) }),
    offer("e", { connection: "offline" }),
  ];
  const first = choose({}, ...offers);
  expect(first).toEqual({
    box: "b",
    reason: "of 3 that can take it, it has the fewest sessions (1)",
    passedOver: [
      { box: "c", reason: "it has as few sessions as b (1), which comes first" },
      { box: "a", reason: "it has more sessions (2) than b (1)" },
      { box: "e", reason: "it is offline" },
      { box: "d", reason: "it is draining" },
    ],
  });
  expect(choose({}, ...offers.toReversed())).toEqual(first);
});

test("a hibernated session counts by what it holds: frozen its memory, stopped nothing, and its ports in both", () => {
  const port = { port: 80, hostPort: 8080 };
  const wish = wishOf({ ...big, template: { image: "w", ports: [port] } });
  expect(seatOf(wish)).toEqual({
    millicores: 3000,
    memoryBytes: 6 * 2 ** 30,
    gpus: 0,
    ports: [{ port: 8080, protocol: "tcp" }],
  });
  expect(choose(big, offer("north", { seats: { other: seatOf(wish, "frozen") } })).box).toBeUndefined();
  expect(choose({ resources: { cpu: "4" } }, offer("north", { seats: { other: seatOf(wish, "frozen") } })).box).toBe(
    "north",
  );
  expect(choose(big, offer("north", { seats: { other: seatOf(wish, "stopped") } })).box).toBe("north");
  expect(
    choose({ template: { image: "w", ports: [port] } }, offer("north", { seats: { other: seatOf(wish, "stopped") } }))
      .box,
  ).toBeUndefined();
});

test("a box that is named need not be heard or have told anything, and is alone looked at", () => {
  const away = offer("north", { connection: "never", facts: undefined });
  expect(choose({ box: "north" }, away, offer("south"))).toEqual({
    box: "north",
    reason: "the wish names it",
    passedOver: [],
  });
  expect(choose({ box: "north" }, offer("north", { draining: true }), offer("south")).reason).toBe(
    "north cannot take it: it is draining",
  );
  expect(choose({ box: "west" }, offer("north")).reason).toBe("west cannot take it: there is no such box");
  expect(choose({ box: "north", ...big }, offer("north", { seats: seats(big) })).box).toBeUndefined();
});

test("of a large fleet a hundred boxes are told of, the nearest first", () => {
  const offers = Array.from({ length: 5000 }, (_, at) =>
    offer(`box-${at}`, at === 4321 ? { draining: true } : { state: "pending" }),
  );
  const { reason, passedOver } = choose({}, ...offers);
  expect(reason).toBe("none of 5000 boxes can take it; nearest is box-4321: it is draining");
  expect(passedOver).toHaveLength(100);
  expect(passedOver[0]?.box).toBe("box-4321");
});

test("what is out of the question is told so, however well it would fit", () => {
  const avoid = new Map([["north", "north is draining"]]);
  const { box, passedOver } = chooseBox(wishOf(), [offer("north"), offer("south", { seats: seats({}) })], { avoid });
  expect([box, passedOver]).toEqual(["south", [{ box: "north", reason: "north is draining" }]]);
});
