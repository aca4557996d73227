import { expect, test } from "vitest";
import { requireTransfer } from "./find-transfer.ts";
import type { Transfer, TransferPhase } from "./transfer-record.ts";

const [NOW, EARLIER] = ["uid-present", "uid-earlier"];
const transferOf = (uid: string, phase: TransferPhase = "active") => ({ id: "r", uid, phase }) as unknown as Transfer;

/** What a hub that holds `known`, on a store that has `stored`, says of what is told of "r". */
function found(
  has: { readonly known?: Transfer; readonly stored?: Transfer; readonly isBuried?: boolean },
  leaseId: string | undefined,
) {
  const book = {
    known: () => has.known,
    get: async () => has.stored,
    isBuried: async () => has.isBuried === true,
  };
  return requireTransfer({ book: book as never }, "r", leaseId).then(
    ({ uid }) => uid,
    (thrown: { code: string }) => thrown.code,
  );
}

test("what is told of a request that is cancelled, deleted or an earlier one of its name comes too late; of one that never was, nobody knows", async () => {
  const active = transferOf(NOW);
  expect(await found({ known: active }, `${NOW}:0.1:1`)).toBe(NOW);
  expect(await found({ known: active }, undefined)).toBe(NOW);
  const cancelling = { known: transferOf(NOW, "cancelling"), stored: transferOf(NOW, "cancelling") };
  expect(await found(cancelling, `${NOW}:0.1:1`)).toBe("gone");
  expect(await found(cancelling, undefined)).toBe("gone");
  expect(await found(cancelling, `${NOW}:discard:1`)).toBe(NOW);
  // Deleted: by its grave, and, when that is forgotten or the store was emptied, by the lease, which this hub's fleet must have given.
  expect(await found({ isBuried: true }, undefined)).toBe("gone");
  expect(await found({ isBuried: true }, `${NOW}:0.1:1`)).toBe("gone");
  expect(await found({}, `${NOW}:0.1:1`)).toBe("gone");
  expect(await found({}, undefined)).toBe("not-found");
  expect(await found({ known: active, stored: active }, `${EARLIER}:0.1:1`)).toBe("gone");
  // Another hub has deleted that one and was asked for the name again.
  expect(await found({ known: transferOf(EARLIER), stored: active }, `${NOW}:0.1:1`)).toBe(NOW);
  expect(await found({ known: active, stored: active }, "something else")).toBe("invalid");
});
