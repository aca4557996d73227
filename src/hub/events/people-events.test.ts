import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { call, openEvents } from "../box-client.fake.ts";
import { addOperators, type LiveHub, startLiveHub, VIEWER } from "../live-hub.fake.ts";

let hub: LiveHub;

beforeEach(async () => {
  hub = await startLiveHub();
  await addOperators(hub.store);
});

afterEach(() => hub.close());

const append = (text: string) => hub.store.events.append({ kind: "test", text, boxId: "b" }, systemClock.wallMs());
const watch = (lastEventId?: string) => openEvents(`${hub.origin}/v1/events`, { token: VIEWER, lastEventId });
const texts = (events: readonly { readonly data: unknown }[]) =>
  events.flatMap(({ data }) => (typeof data === "object" && data !== null && "text" in data ? [data.text] : []));

test("who watches hears what comes, and goes on after a cursor without a hole and without a repetition", async () => {
  await append("before");
  using first = await watch();
  await first.until(({ name }) => name === "ready");
  await append("one");
  const one = await first.until(({ data }) => JSON.stringify(data).includes("one"));
  expect(one).toMatchObject({ name: "message", data: { kind: "test", box: "b", text: "one", cursor: one.id } });
  first.close();
  await append("two");
  await append("three");
  using second = await watch(one.id);
  await second.until(({ data }) => JSON.stringify(data).includes("three"));
  await append("four");
  await second.until(({ data }) => JSON.stringify(data).includes("four"));
  expect(texts(second.events)).toEqual(["two", "three", "four"]);
});

test("a cursor of another store is answered by a reset, and what comes then follows", async () => {
  using viewer = await watch("elsewhere.7");
  expect(await viewer.until(() => true)).toMatchObject({ name: "reset", data: { reason: "other-store" } });
  await append("new");
  await viewer.until(({ data }) => JSON.stringify(data).includes("new"));
  expect(texts(viewer.events)).toEqual(["new"]);
});

test("a thousand events reach many viewers once each and in order", async () => {
  const viewers = await Promise.all(Array.from({ length: 20 }, () => watch()));
  await Promise.all(viewers.map((viewer) => viewer.until(({ name }) => name === "ready")));
  for (let at = 0; at < 1000; at++) await append(`event ${at}`);
  const isLast = ({ data }: { readonly data: unknown }) => texts([{ data }])[0] === "event 999";
  await Promise.all(viewers.map((viewer) => viewer.until(isLast)));
  const expected = Array.from({ length: 1000 }, (_one, at) => `event ${at}`);
  for (const viewer of viewers) {
    expect(texts(viewer.events)).toEqual(expected);
    viewer.close();
  }
});

test("the same events are a page for who asks for a document", async () => {
  const { body: start } = await call(`${hub.origin}/v1/events`, { token: VIEWER });
  await append("one");
  await append("two");
  const { next } = start as { next: string };
  const { body } = await call(`${hub.origin}/v1/events?after=${next}&limit=1`, { token: VIEWER });
  expect(body).toMatchObject({ items: [{ text: "one" }] });
});
