import type { Collection, Engine } from "./engine.ts";

export interface PageRequest {
  /** The `next` of the page before. */
  readonly after?: string | undefined;
  /** 1 to 1000. */
  readonly limit: number;
}

/** Items in the byte order of their ids. What is created or deleted while paging may or may not be in. */
export interface Page<Item> {
  readonly items: readonly Item[];
  /** Where the next page goes on; `undefined` when this was the last. */
  readonly next: string | undefined;
}

const CHUNK = 500;
const MAX_PAGE = 1000;

export interface PageQuery<Body, Item> extends PageRequest {
  readonly prefix?: string;
  /** The item of a document, or `undefined` to leave it out. */
  readonly pick: (body: Body) => Item | undefined;
}

/** Every item of a list, page by page: `list` is called with each page's place until there is none more. */
export async function* everyItem<Item>(
  list: (page: PageRequest) => Promise<Page<Item>>,
  limit: number = MAX_PAGE,
): AsyncGenerator<Item> {
  for (let after: string | undefined; ; ) {
    const page = await list({ after, limit });
    yield* page.items;
    if (page.next === undefined) return;
    after = page.next;
  }
}

/** Walks a collection until the page is full. One item more than asked for is looked for, so that `next` is never a lie. */
export async function readPage<Body, Item>(
  engine: Engine,
  of: Collection<Body>,
  query: PageQuery<Body, Item>,
): Promise<Page<Item>> {
  const limit = Math.min(Math.max(query.limit, 1), MAX_PAGE);
  const found: { id: string; item: Item }[] = [];
  const prefix = query.prefix === undefined ? {} : { prefix: query.prefix };
  for (let after = query.after; ; ) {
    const { documents, next } = await engine.list(of, { ...prefix, after, limit: CHUNK });
    for (const { id, body } of documents) {
      const item = query.pick(body);
      if (item !== undefined && found.length <= limit) found.push({ id, item });
    }
    if (next === undefined || found.length > limit) break;
    after = next;
  }
  const page = found.slice(0, limit);
  return { items: page.map(({ item }) => item), next: found.length > limit ? page.at(-1)?.id : undefined };
}
