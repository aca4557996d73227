import { z } from "zod";
import { rolloutPutSchema } from "../../contract/fleet/rollout.ts";
import { parseSelector } from "../../contract/fleet/selector.ts";
import type { StoredObject } from "../store/objects.ts";
import { everyItem } from "../store/page.ts";
import type { Store } from "../store/store.ts";
import type { Rollout } from "./plan-rollouts.ts";

export const ROLLOUT_KIND = "rollout";
export const ROLLOUT_STATUS_KIND = "rollout-status";

/** How a rollout stands with its boxes, as the hub that carries rollouts out last found. */
export const rolloutStatusSchema = z.object({
  matching: z.int(),
  placed: z.int(),
  failed: z.array(z.object({ box: z.string(), reason: z.string() })),
});
export type RolloutStatus = z.output<typeof rolloutStatusSchema>;

/** Reasons told, of how many boxes it may be. */
export const MAX_FAILED_SHOWN = 100;

export async function listRollouts(store: Store): Promise<readonly Rollout[]> {
  const rollouts: Rollout[] = [];
  for await (const object of everyItem((page) => store.objects.list(ROLLOUT_KIND, page))) {
    const rollout = toRollout(object);
    if (rollout !== undefined) rollouts.push(rollout);
  }
  return rollouts;
}

/** `undefined` for what no version of this program wrote. */
export function toRollout({ id, revision, body }: StoredObject): Rollout | undefined {
  const parsed = rolloutPutSchema.safeParse(body);
  if (!parsed.success) return undefined;
  const { selector, template, enabled } = parsed.data;
  const requirements = parseSelector(selector);
  return requirements.ok ? { id, revision, template, enabled, requirements: requirements.requirements } : undefined;
}
