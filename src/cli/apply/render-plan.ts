import { oneLine } from "../../base/log.ts";
import { countOf, type View } from "../output.ts";
import type { Tone } from "../paint.ts";
import type { FleetStep, PlannedChange } from "./fleet-plan.ts";

const SIGNS: Readonly<Record<PlannedChange["change"], readonly [string, Tone]>> = {
  add: ["+", "good"],
  change: ["~", "warn"],
  remove: ["-", "bad"],
};

/** What would change, thing by thing and field by field, and the sum of it. */
export function renderPlan(steps: readonly FleetStep[], { paint }: Pick<View, "paint">): string {
  const changes = steps.flatMap((step) => step.changes);
  if (changes.length === 0) return "Nothing to change.\n";
  const lines = changes.flatMap(({ subject, change, fields, summary }) => {
    const [sign, tone] = SIGNS[change];
    const head = paint(tone, `${sign} ${subject}`) + (summary === undefined ? "" : `  ${oneLine(summary)}`);
    return [head, ...fields.map((field) => `    ${renderField(field)}`)];
  });
  return `${lines.join("\n")}\n${countChanges(changes)}\n`;
}

/** `3 changes: 1 to add, 2 to change` */
export function countChanges(changes: readonly PlannedChange[]): string {
  const parts = (
    [
      ["add", "to add"],
      ["change", "to change"],
      ["remove", "to remove"],
    ] as const
  ).flatMap(([kind, text]) => {
    const amount = changes.filter(({ change }) => change === kind).length;
    return amount === 0 ? [] : [`${amount} ${text}`];
  });
  return `${countOf(changes.length, "change")}: ${parts.join(", ")}`;
}

function renderField({ path, from, to }: PlannedChange["fields"][number]): string {
  const show = (value: unknown) => oneLine(JSON.stringify(value));
  if (from === undefined) return `${path}: ${show(to)}`;
  return to === undefined ? `${path}: ${show(from)} → nothing` : `${path}: ${show(from)} → ${show(to)}`;
}
