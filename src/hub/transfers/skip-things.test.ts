import { expect, test } from "vitest";
import { MAX_RELISTED } from "./decide-transfer.ts";
import { relistUnread, skipThings } from "./skip-things.ts";

const denied = (path: string) => ({ path, code: "denied" as const, message: "not for this user" });
const pipe = { path: "p", code: "unsupported" as const, message: "a pipe, which cannot be copied" };
const gone = { path: "g", code: "not-found" as const, message: "it is not there" };

test("a pipe is left out, and what cannot be read is missing", () => {
  expect(skipThings({ round: 0 }, [])).toEqual({});
  expect(skipThings({ round: 0 }, [pipe, denied("d"), gone])).toEqual({
    leftOut: { total: 1, first: [pipe] },
    unread: { total: 2, first: [denied("d"), gone] },
  });
});

test("what a walk tells again is counted once, and what has gone since the first walk is no loss", () => {
  const unread = { total: 1, first: [denied("d")] };
  expect(skipThings({ round: 0, unread }, [denied("d")])).toEqual({ unread });
  expect(skipThings({ round: 1, unread }, [gone])).toEqual({ unread });
});

test("of very many those beyond what one walk takes stay untold, and missing", () => {
  const many = Array.from({ length: MAX_RELISTED }, (_, index) => denied(`d${index}`));
  const { unread } = skipThings({ round: 0, ...skipThings({ round: 0 }, many) }, [denied("x"), denied("y")]);
  expect(unread?.total).toBe(MAX_RELISTED + 2);
  const { paths, rest } = relistUnread(unread ?? { total: 0, first: [] });
  expect(paths).toHaveLength(MAX_RELISTED);
  expect(rest).toEqual({ total: 2, first: [] });
  expect(relistUnread({ total: 1, first: [pipe] })).toEqual({ paths: ["p"], rest: undefined });
});
