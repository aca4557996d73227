import { afterAll, beforeAll, expect, test } from "vitest";
import { openEvents } from "./box-client.fake.ts";
import { startTestHub, type TestHub } from "./hub-world.fake.ts";

/** DESIGN §8: revoking cuts within this. */
const CUT_MS = 5000;

let hub: TestHub;
beforeAll(async () => {
  hub = await startTestHub();
});
afterAll(() => hub.close());

async function isCut(closed: Promise<void>): Promise<boolean> {
  const late = AbortSignal.timeout(CUT_MS);
  const tooLate = new Promise<boolean>((resolve) => late.addEventListener("abort", () => resolve(false)));
  return Promise.race([closed.then(() => true), tooLate]);
}

test.each([
  ["revoked", (box: string) => hub.ask("POST", `/v1/boxes/${box}/revoke`)],
  ["forgotten", (box: string) => hub.ask("DELETE", `/v1/boxes/${box}`)],
])("the open event stream of a box that is %s is cut, and opens no more", async (name, end) => {
  const box = `box-${name}`;
  const token = await hub.enrol(box);
  const url = `${hub.origin}/v1/boxes/${box}/events`;
  using stream = await openEvents(url, { token });
  expect(stream.status).toBe(200);
  await stream.until(({ name: event }) => event === "expected");
  await end(box);
  expect(await isCut(stream.closed)).toBe(true);
  using again = await openEvents(url, { token });
  expect(again.status).toBe(401);
});

test("what is open with an operator's token is cut when it is revoked, and nobody else's", async () => {
  const { token, id } = (await hub.ask("POST", "/v1/tokens", { body: { name: "guest", role: "viewer" } })).body;
  using guest = await openEvents(`${hub.origin}/v1/events`, { token });
  using other = await openEvents(`${hub.origin}/v1/events`, { token: hub.tokens.viewer });
  expect([guest.status, other.status]).toEqual([200, 200]);
  await hub.ask("DELETE", `/v1/tokens/${id}`);
  expect(await isCut(guest.closed)).toBe(true);
  expect(other.isOpen()).toBe(true);
});

test("a box that was waiting keeps its stream when it is approved, and gets its set on it", async () => {
  const token = await hub.enrol("late-1", { approve: false });
  using stream = await openEvents(`${hub.origin}/v1/boxes/late-1/events`, { token });
  expect(stream.status).toBe(200);
  await hub.ask("POST", "/v1/boxes/late-1/approve");
  await stream.until(({ name }) => name === "expected");
  expect(stream.isOpen()).toBe(true);
});

test("a hub that ends closes its event streams at once, not when its drain time is over", async () => {
  const own = await startTestHub({
    server: { ...hub.options.server, drainMs: 30_000 },
  });
  const token = await own.enrol("b-1");
  using stream = await openEvents(`${own.origin}/v1/boxes/b-1/events`, { token });
  using people = await openEvents(`${own.origin}/v1/events`, { token: own.tokens.viewer });
  await stream.until(({ name }) => name === "expected");
  const ended = own.close();
  expect(await isCut(Promise.all([stream.closed, people.closed, ended]).then(() => undefined))).toBe(true);
});
