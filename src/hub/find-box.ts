import { AppError } from "../base/errors.ts";
import type { Box } from "./store/box.ts";
import type { Store } from "./store/store.ts";
import { nearNames } from "./tunnels/near-names.ts";

/**
 * The box that a field of a wish names. `not-found` with those near it; `conflict` for one that is not approved, and for one that
 * drains where something new is asked of it.
 */
export async function findBox(
  boxId: string,
  { field, isNew }: { readonly field: string; readonly isNew: boolean },
  { boxes }: Pick<Store, "boxes">,
): Promise<Box> {
  const box = await boxes.get(boxId);
  if (box === undefined) {
    const near = nearNames(boxId, await boxNames(boxes));
    const hint = near.length === 0 ? "" : `; near it: ${near.join(", ")}`;
    throw new AppError("not-found", `${field}: there is no box ${JSON.stringify(boxId)}${hint}`, { field });
  }
  if (box.state !== "approved") {
    throw new AppError("conflict", `${field}: box ${boxId} is ${box.state}; allowed: an approved box`, { field });
  }
  if (isNew && box.draining) {
    throw new AppError("conflict", `${field}: box ${boxId} is draining and gets nothing new`, { field });
  }
  return box;
}

async function boxNames(boxes: Store["boxes"]): Promise<string[]> {
  const names: string[] = [];
  for (let after: string | undefined; ; ) {
    const page = await boxes.list({}, { after, limit: 1000 });
    names.push(...page.items.map(({ id }) => id));
    if (page.next === undefined) return names;
    after = page.next;
  }
}
