import { expect, test } from "vitest";
import { patternProblem } from "./pattern-problem.ts";

test.each([
  "*.mp4",
  "/a",
  "day-*/**/x",
  "day/",
  "a..b",
  "...",
  "[a-c]x",
  "[!a]",
  "[]]",
  "[[]1].mp4",
  "a]",
  "100%",
  "#",
])("%s is a pattern", (pattern) => expect(patternProblem(pattern)).toBeUndefined());

test.each([
  ["[", "a [ that is closed by ], and [[] for [ itself"],
  ["clip[1.mp4", "a [ that is closed by ], and [[] for [ itself"],
  ["[]", "a [ that is closed by ], and [[] for [ itself"],
  ["[a]/[b", "a [ that is closed by ], and [[] for [ itself"],
  ["[a/b]", "a [ that is closed by ], and [[] for [ itself"],
  ["../x", "a pattern without . or .. as a name"],
  ["./x", "a pattern without . or .. as a name"],
  [".", "a pattern without . or .. as a name"],
  ["/", "a pattern with a name in it"],
  ["a\0", "a pattern without the byte 0"],
])("%j is none", (pattern, allowed) => expect(patternProblem(pattern)).toBe(allowed));
