import { expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { type DetachedEnd, describeDetachedEnd, MAX_DETACHED_ENDS } from "../../contract/remote/detached-end.ts";
import type { RemoteBookEntry } from "../registry/remote-book.ts";
import { createDetachedEnds } from "./detached-ends.ts";
import type { Holder } from "./holders.ts";

function start(entries: readonly RemoteBookEntry[]) {
  const book = [...entries];
  let ended: DetachedEnd[] = [];
  let asked = 0;
  let isWhole = true;
  let sessions: readonly { readonly session: string }[] = [];
  const clock = createFakeClock();
  const holder = () => ({ isOwn: true, status: { version: "1", pid: 1, sessions, ended } }) as unknown as Holder;
  const ends = createDetachedEnds({
    book: { detached: () => book },
    holders: {
      survey: async () => {
        asked += 1;
        return { living: [holder()], isWhole };
      },
    },
    bootId: "now",
    clock,
  });
  return {
    ends,
    book,
    clock,
    asked: () => asked,
    hold: (ids: readonly string[]) => {
      sessions = ids.map((session) => ({ session }));
    },
    answer: (isAll: boolean) => {
      isWhole = isAll;
    },
    end: (end: DetachedEnd) => {
      ended = [...ended, end];
    },
  };
}

test("holders are asked only while a detached command may go on, and each end is told once as news", async () => {
  const { ends, book, asked, end } = start([]);
  expect([await ends.look(), asked()]).toEqual([false, 0]);
  book.push({ session: "s-1", bootId: "now", isDetached: true });
  expect([await ends.look(), asked()]).toEqual([false, 1]);
  end({ session: "s-1", code: 3 });
  end({ session: "another agent's", code: 0 });
  expect([await ends.look(), ends.list()]).toEqual([true, [{ session: "s-1", code: 3 }]]);
  expect([await ends.look(), asked()]).toEqual([false, 2]);
});

test("what no holder has for a minute is gone, and none is given up because one did not answer or had it again", async () => {
  const { ends, clock, hold, answer } = start(
    ["s-1", "s-2", "s-3"].map((session) => ({ session, bootId: "now", isDetached: true })),
  );
  hold(["s-1", "s-2"]);
  await ends.look();
  answer(false);
  hold([]);
  await clock.advance(120_000);
  expect([await ends.look(), ends.list()]).toEqual([false, []]);
  answer(true);
  expect([await ends.look(), ends.list()]).toEqual([true, [{ session: "s-3", isUnknown: true }]]);
  await clock.advance(30_000);
  hold(["s-2"]);
  await ends.look();
  await clock.advance(30_000);
  hold([]);
  expect([await ends.look(), ends.list().map(({ session }) => session)]).toEqual([true, ["s-3", "s-1"]]);
  expect(ends.list().map(describeDetachedEnd)).toContain("lost: what held its command on the box was ended");
});

test("what ran when the box was restarted is lost, and what is told has a bound", async () => {
  const old = Array.from({ length: MAX_DETACHED_ENDS + 5 }, (_none, index) => ({
    session: `s-${index}`,
    bootId: "before",
    isDetached: true,
  }));
  const { ends, asked } = start(old);
  expect([await ends.look(), asked(), ends.list().length]).toEqual([false, 0, MAX_DETACHED_ENDS]);
  const [first] = ends.list();
  expect(first).toEqual({ session: "s-5" });
  expect(
    [first, { session: "x", code: 0 }, { session: "x", signal: "SIGTERM" }].map((one) =>
      describeDetachedEnd(one ?? { session: "" }),
    ),
  ).toEqual([
    "lost: its box was restarted while its command ran",
    "its command has ended with exit status 0",
    "its command was ended by SIGTERM",
  ]);
});
