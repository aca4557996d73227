import { randomUUID } from "node:crypto";
import { describeStore } from "../store.contract.ts";
import { createMemoryStore } from "./memory-store.ts";

describeStore("a store in memory", async () => {
  const store = createMemoryStore({ newId: randomUUID });
  return { store, other: store, close: () => store.close() };
});
