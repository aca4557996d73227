import { onTestFinished } from "vitest";
import { createFakeClock, type FakeClock } from "../../base/clock.fake.ts";
import { createMemoryStore } from "../store/memory/memory-store.ts";
import type { Store } from "../store/store.ts";
import { startTransferHub, type TransferHub, type TransferHubWish } from "./transfer-world.fake.ts";

interface OpenedHub {
  readonly hub: TransferHub;
  readonly clock: FakeClock;
  readonly store: Store;
}

/** Ids count up, so that a test can tell them. */
export function newCountedStore(): Store {
  let ids = 0;
  return createMemoryStore({ newId: () => `id-${++ids}` });
}

/** Transfers of a hub with a clock and a store of its own, or of one more hub beside another. It ends with the test, unless that ends it before. */
export function openTransferHub(
  given: TransferHubWish & { readonly clock?: FakeClock; readonly store?: Store } = {},
): OpenedHub {
  const { clock = createFakeClock(), store = newCountedStore(), ...wish } = given;
  const hub = startTransferHub(store, clock, wish);
  onTestFinished(() => hub.stop());
  return { hub, clock, store };
}
