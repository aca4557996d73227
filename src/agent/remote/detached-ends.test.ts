import { expect, test } from "vitest";
import { type DetachedEnd, describeDetachedEnd, MAX_DETACHED_ENDS } from "../../contract/remote/detached-end.ts";
import type { RemoteBookEntry } from "../registry/remote-book.ts";
import { createDetachedEnds } from "./detached-ends.ts";
import type { Holder } from "./holders.ts";

function start(entries: readonly RemoteBookEntry[]) {
  const book = [...entries];
  let ended: DetachedEnd[] = [];
  let asked = 0;
  const holder = () => ({ isOwn: true, status: { version: "1", pid: 1, sessions: [], ended } }) as unknown as Holder;
  const ends = createDetachedEnds({
    book: { detached: () => book },
    holders: {
      living: async () => {
        asked += 1;
        return [holder()];
      },
    },
    bootId: "now",
  });
  return {
    ends,
    book,
    asked: () => asked,
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
