import { expect, test } from "vitest";
import { createJoinedChanges, type DecideAll, type WriteTerms } from "./joined-changes.ts";

interface Write {
  readonly decideAll: DecideAll<string>;
  readonly terms: WriteTerms;
  readonly done: PromiseWithResolvers<void>;
}

/** Changes append to a text; writes are under way until the test ends them. */
function openChanges() {
  const writes: Write[] = [];
  const join = createJoinedChanges<string>();
  const append = (text: string, terms: Partial<WriteTerms> = {}) =>
    join(
      "document",
      {
        isFresh: false,
        durability: "durable",
        ...terms,
        decide: (state) => ({ state: state + text, answer: `told ${text}` }),
      },
      (decideAll, of) => {
        const done = Promise.withResolvers<void>();
        writes.push({ decideAll, terms: of, done });
        return done.promise;
      },
    );
  const writeOf = async (index: number): Promise<Write> => {
    await expect.poll(() => writes.length).toBe(index + 1);
    const write = writes[index];
    if (write === undefined) throw new Error("there is no such write");
    return write;
  };
  return { join, append, writeOf, writes };
}

test("changes that come while one is written are written together, in their order, and nobody is told before", async () => {
  const { append, writeOf, writes } = openChanges();
  const told: string[] = [];
  const tell = (text: string) => void told.push(text);
  const first = append("a").then(tell);
  const begun = await writeOf(0);
  const others = [append("b").then(tell), append("c").then(tell)];
  expect(begun.decideAll("0")).toBe("0a");
  expect(told).toEqual([]);
  begun.done.resolve();
  await first;
  expect(told).toEqual(["told a"]);

  const next = await writeOf(1);
  expect(next.decideAll("0a")).toBe("0abc");
  expect(told).toHaveLength(1);
  next.done.resolve();
  await Promise.all(others);
  expect(told).toEqual(["told a", "told b", "told c"]);
  expect(writes).toHaveLength(2);
});

test("what has to be written anew is decided anew, and only that counts", async () => {
  const { join } = openChanges();
  const answer = await join(
    "document",
    { isFresh: false, durability: "durable", decide: (state: string) => ({ state: `${state}+`, answer: state }) },
    async (decideAll) => {
      decideAll("old");
      decideAll("new");
    },
  );
  expect(answer).toBe("new");
});

test("a write that fails is told to all that were in it, and to nobody after it", async () => {
  const { append, writeOf } = openChanges();
  const first = append("a");
  const begun = await writeOf(0);
  const lost = [append("b"), append("c")].map((one) =>
    one.then(
      () => "written",
      () => "lost",
    ),
  );
  begun.decideAll("");
  begun.done.resolve();
  await first;
  const failing = await writeOf(1);
  const later = append("d");
  failing.decideAll("a");
  failing.done.reject(new TypeError("the disk is full"));
  expect(await Promise.all(lost)).toEqual(["lost", "lost"]);
  const last = await writeOf(2);
  expect(last.decideAll("a")).toBe("ad");
  last.done.resolve();
  expect(await later).toBe("told d");
});

test("a change that cannot be decided takes no other with it", async () => {
  const { join, append, writeOf } = openChanges();
  const first = append("a");
  const begun = await writeOf(0);
  const possible = append("b");
  const impossible = join(
    "document",
    {
      isFresh: false,
      durability: "durable",
      decide: () => {
        throw new TypeError("there is no such unit");
      },
    },
    () => Promise.reject(new TypeError("who came first writes")),
  );
  const told = expect(impossible).rejects.toThrow("there is no such unit");
  begun.decideAll("");
  begun.done.resolve();
  await first;
  const next = await writeOf(1);
  expect(next.decideAll("a")).toBe("ab");
  next.done.resolve();
  expect(await possible).toBe("told b");
  await told;
});

test("one that must be durable, or decided on what the store has, makes those with it so", async () => {
  const { append, writeOf } = openChanges();
  const all = [append("a", { durability: "relaxed" })];
  const begun = await writeOf(0);
  expect(begun.terms).toEqual({ isFresh: false, durability: "relaxed" });
  all.push(append("b", { durability: "relaxed" }), append("c", { isFresh: true }));
  begun.decideAll("");
  begun.done.resolve();
  const next = await writeOf(1);
  expect(next.terms).toEqual({ isFresh: true, durability: "durable" });
  next.decideAll("a");
  next.done.resolve();
  await Promise.all(all);
});
