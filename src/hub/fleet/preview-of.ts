import { isDeepStrictEqual } from "node:util";
import type { ChangePreview } from "../../contract/fleet/change-preview.ts";
import type { StoredObject } from "../store/objects.ts";

/** Whether writing `body` would change what is held. Both as JSON holds them. */
export function previewOf(held: StoredObject | undefined, body: unknown): ChangePreview {
  if (held === undefined) return { changed: true };
  const changed = !isDeepStrictEqual(held.body, JSON.parse(JSON.stringify(body)));
  return { changed, revision: held.revision };
}
