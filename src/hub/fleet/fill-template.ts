import { AppError } from "../../base/errors.ts";
import type { WorkloadTemplate } from "../../contract/fleet/rollout.ts";
import { describeProblem } from "../../contract/wire-event-problem.ts";
import { type Workload, workloadSchema } from "../../contract/workload.ts";
import type { Box } from "../store/box.ts";

const PLACEHOLDER = /\{\{([^{}]*)\}\}/g;
const ALLOWED = "{{box.id}}, {{box.name}}, {{label.NAME}}";

/** What a template says of a box. Problems never repeat the template's text, which may hold a secret. */
export type Filled =
  | { readonly ok: true; readonly workload: Workload }
  | { readonly ok: false; readonly reason: string };

/** What a template without placeholders says: the same of every box, so it is checked once. `undefined`: it has some. */
const fixed = new WeakMap<WorkloadTemplate, Filled | undefined>();

/** Pure. The template with the box's facts in it, checked as a workload. Boxes may be given one and the same workload. */
export function fillTemplate(template: WorkloadTemplate, box: Pick<Box, "id" | "name" | "labels">): Filled {
  if (!fixed.has(template)) fixed.set(template, hasPlaceholder(template) ? undefined : fill(template, box));
  return fixed.get(template) ?? fill(template, box);
}

function hasPlaceholder(template: WorkloadTemplate): boolean {
  return JSON.stringify(template).includes("{{");
}

function fill(template: WorkloadTemplate, box: Pick<Box, "id" | "name" | "labels">): Filled {
  const missing = new Set<string>();
  const filled = mapTexts(template, (text) =>
    text.replace(PLACEHOLDER, (placeholder, name: string) => {
      const value = factOf(name.trim(), box);
      if (value === undefined) missing.add(placeholder);
      return value ?? placeholder;
    }),
  );
  const [first] = missing;
  if (first !== undefined) return { ok: false, reason: `the box has nothing for ${first}` };
  const parsed = workloadSchema.safeParse(filled);
  if (parsed.success) return { ok: true, workload: parsed.data };
  return { ok: false, reason: describeProblem(parsed.error, filled).replace(/^event:/, "template:") };
}

/** Throws `invalid` for a placeholder that no box could ever fill. */
export function requireKnownPlaceholders(template: WorkloadTemplate): void {
  mapTexts(template, (text) => {
    for (const [placeholder, name = ""] of text.matchAll(PLACEHOLDER)) {
      if (/^(?:box\.(?:id|name)|label\.[A-Za-z0-9_./-]{1,63})$/.test(name.trim())) continue;
      throw new AppError("invalid", `template: given ${placeholder.slice(0, 60)}; allowed: ${ALLOWED}`, {
        field: "template",
      });
    }
    return text;
  });
}

function factOf(name: string, { id, name: boxName, labels }: Pick<Box, "id" | "name" | "labels">): string | undefined {
  if (name === "box.id") return id;
  if (name === "box.name") return boxName;
  const label = name.startsWith("label.") ? name.slice("label.".length) : "";
  return Object.hasOwn(labels, label) ? labels[label] : undefined;
}

/** Every text in a JSON value, keys left alone. Depth is bounded where requests are read. */
function mapTexts(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === "string") return change(value);
  if (Array.isArray(value)) return value.map((item: unknown) => mapTexts(item, change));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapTexts(item, change)]));
}
