import { expect, test } from "vitest";
import { comparePathTexts } from "./path-order.ts";

test("paths stand as a walk meets them: a directory, what is in it, and then what its name begins", () => {
  const walked = ["", "B", "a", "a/%FF", "a/x/y", "a.b", "a0", "b%25", "b%0A", "é", "\u{1f600}", "%FF"];
  // By bytes: a line feed comes before a percent sign, and a byte that is no text after all that are.
  const inOrder = ["", "B", "a", "a/x/y", "a/%FF", "a.b", "a0", "b%0A", "b%25", "é", "\u{1f600}", "%FF"];
  expect(walked.toSorted(comparePathTexts)).toEqual(inOrder);
  expect(walked.toReversed().toSorted(comparePathTexts)).toEqual(inOrder);
});
