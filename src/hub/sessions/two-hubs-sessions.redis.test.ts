import { randomBytes } from "node:crypto";
import { afterEach, expect, test } from "vitest";
import { redisRefusal, startRedis } from "../../../test-server/redis-server.ts";
import { systemClock } from "../../base/clock.ts";
import { createMemoryLog } from "../../base/log.ts";
import { systemRandom } from "../../base/random.ts";
import { type SessionView, sessionViewSchema } from "../../contract/fleet/session.ts";
import { call, sendReport } from "../box-client.fake.ts";
import { addBox, addOperators, OPERATOR, startLiveHub } from "../live-hub.fake.ts";
import { DEFAULT_REDIS_OPTIONS } from "../store/redis/redis-options.ts";
import { createRedisStore } from "../store/redis/redis-store.ts";
import { reportOf } from "../store/store.fake.ts";
import { SESSION_SEATS_KIND } from "./seat-book.ts";
import { FACTS, wishOf } from "./session-world.fake.ts";

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const SESSIONS = 40;
const ROOM = { north: 9, south: 6 } as const;

test.skipIf(redisRefusal !== undefined)(
  "forty sessions made at once through two hubs on one Redis fill two boxes exactly, and the rest follows through the other hub when one is gone",
  { timeout: 120_000 },
  async () => {
    const server = await startRedis({ durable: true });
    closing.push(async () => server[Symbol.asyncDispose]());
    const openStore = async () => {
      const { host, port } = server;
      const deps = { clock: systemClock, random: systemRandom, log: createMemoryLog() };
      const newId = () => randomBytes(6).toString("hex");
      const store = await createRedisStore({ ...DEFAULT_REDIS_OPTIONS, host, port }, { ...deps, newId });
      closing.push(() => store.close().catch(() => undefined));
      return store;
    };
    const store = await openStore();
    await addOperators(store);
    const openHub = async (hubId: string) => {
      const hub = await startLiveHub({ store: await openStore(), hubId, options: { manyHubs: true } });
      closing.push(() => hub.close());
      return hub;
    };
    const hubs = [await openHub("one"), await openHub("two")] as const;
    // Each hub hears of both boxes: whichever carries sessions out can place them.
    for (const boxId of ["north", "south"] as const) {
      const key = await addBox(store, boxId);
      const sessions = { ...FACTS, maxSessions: ROOM[boxId] };
      for (const [at, { origin }] of hubs.entries()) {
        expect((await sendReport(origin, key, { ...reportOf(boxId, "s", at + 1), sessions })).status).toBe(202);
      }
    }
    const ask = async (hub: 0 | 1, method: string, path: string, body?: object) => {
      const answer = await call(`${hubs[hub].origin}/v1/sessions${path}`, { method, token: OPERATOR, body });
      return answer.body;
    };
    const made = await Promise.all(
      Array.from({ length: SESSIONS }, (_, at) => ask(at % 2 === 0 ? 0 : 1, "POST", "", wishOf({ id: `s-${at}` }))),
    );
    expect(made.map((view) => sessionViewSchema.parse(view).revision)).toEqual(Array(SESSIONS).fill(1));
    const list = async (hub: 0 | 1): Promise<readonly SessionView[]> => {
      const body = await ask(hub, "GET", "?limit=100");
      const items: unknown = typeof body === "object" && body !== null && "items" in body ? body.items : [];
      return sessionViewSchema.array().parse(items);
    };
    const placed = (views: readonly SessionView[]) => ({
      north: views.filter(({ box }) => box === "north").length,
      south: views.filter(({ box }) => box === "south").length,
      unplaced: views.filter(({ state }) => state === "unplaced").length,
    });
    const full = { ...ROOM, unplaced: SESSIONS - ROOM.north - ROOM.south };
    await expect.poll(async () => placed(await list(0)), { timeout: 30_000 }).toEqual(full);
    for (const boxId of ["north", "south"] as const) {
      expect((await store.expected.get(boxId)).entries).toHaveLength(ROOM[boxId]);
      const sheet = (await store.objects.get(SESSION_SEATS_KIND, boxId))?.body as { readonly sessions: object };
      expect(Object.keys(sheet.sessions)).toHaveLength(ROOM[boxId]);
    }
    // Whichever hub had the lease: the other one takes it over.
    await hubs[0].close();
    const gone = (await list(1)).find(({ box }) => box === "south");
    await ask(1, "DELETE", `/${gone?.id}`);
    await expect
      .poll(async () => (await store.expected.get("south")).entries.length, { timeout: 30_000 })
      .toBe(ROOM.south - 1);
  },
);
