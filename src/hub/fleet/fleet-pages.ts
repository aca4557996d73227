import type { Page } from "../store/page.ts";

/**
 * A page of what was chosen from a longer list: pages of the source are read until enough is found. `cursorOf` names the
 * place of an item in the source.
 */
export async function choosePage<Source, Item>(
  request: { readonly after?: string | undefined; readonly limit: number },
  from: {
    readonly list: (after: string | undefined, limit: number) => Promise<Page<Source>>;
    readonly choose: (source: Source) => Promise<Item | undefined>;
    readonly cursorOf: (source: Source) => string;
  },
): Promise<{ items: Item[]; next?: string }> {
  const items: Item[] = [];
  let last: string | undefined;
  for (let after = request.after; ; ) {
    const page = await from.list(after, Math.max(request.limit, 100));
    const chosen = await Promise.all(page.items.map(from.choose));
    for (const [index, item] of chosen.entries()) {
      if (item === undefined) continue;
      const source = page.items[index];
      if (items.length === request.limit) return last === undefined ? { items } : { items, next: last };
      items.push(item);
      if (source !== undefined) last = from.cursorOf(source);
    }
    if (page.next === undefined) return { items };
    after = page.next;
  }
}
