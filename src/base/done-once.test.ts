import { expect, test } from "vitest";
import { doneOnce } from "./done-once.ts";
import { AppError } from "./errors.ts";

test("work is shared while it goes on and after it, and begun anew by who asks after a failure", async () => {
  let began = 0;
  const work = Promise.withResolvers<string>();
  const ask = doneOnce(async () => {
    if (++began === 1) throw new AppError("unavailable", "not now");
    return work.promise;
  });
  const [first, second] = [ask(), ask()];
  await expect(first).rejects.toThrow("not now");
  await expect(second).rejects.toThrow("not now");
  expect(began).toBe(1);
  const [third, fourth] = [ask(), ask()];
  work.resolve("done");
  expect(await Promise.all([third, fourth, ask()])).toEqual(["done", "done", "done"]);
  expect(began).toBe(2);
});
