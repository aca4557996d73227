import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { createSecretBox } from "./secret-box.ts";

test("what is sealed opens in its place with its key, and shows nothing of itself", () => {
  const box = createSecretBox(randomBytes(32));
  const sealed = box.seal("a secret of some length: ä", "alert-rule/a");
  expect(box.open(sealed, "alert-rule/a")).toBe("a secret of some length: ä");
  expect(sealed).toMatch(/^s1\.[0-9a-f]{12}\.[\w-]+$/);
  expect(box.seal("a secret of some length: ä", "alert-rule/a")).not.toBe(sealed);
  expect(() => box.open(sealed, "alert-rule/b")).toThrow(/alert-rule\/b in the store is damaged/);
});

test("another key, a changed letter and a cut are each refused with what to do", () => {
  const box = createSecretBox(randomBytes(32));
  const sealed = box.seal("text", "p");
  expect(() => createSecretBox(randomBytes(32)).open(sealed, "p")).toThrow(
    /encrypted with the key .* give it that key/,
  );
  for (let index = 16; index < sealed.length - 1; index++) {
    const changed = sealed.slice(0, index) + (sealed[index] === "A" ? "B" : "A") + sealed.slice(index + 1);
    expect(() => box.open(changed, "p")).toThrow(/damaged/);
  }
  for (const cut of [sealed.slice(0, 20), sealed.slice(0, 16), "s1", ""])
    expect(() => box.open(cut, "p")).toThrow(/secret/);
});
