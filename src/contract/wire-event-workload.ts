import { IDENTIFIER_PATTERN } from "./identifier-pattern.ts";
import type { RejectedWorkload } from "./wire-event.ts";
import { describeProblem, describeType, toFieldName } from "./wire-event-problem.ts";
import { type Workload, workloadSchema } from "./workload.ts";

const KINDS: readonly string[] = workloadSchema.options.map((option) => option.shape.kind.value);
/** A name that someone chose for a kind, as opposed to a key or a URL put into the wrong field. */
const KIND_NAME = /^[a-z]{1,20}$/;

export type ParsedWorkload =
  | { readonly workload: Workload; readonly unknownFields: readonly string[] }
  | { readonly rejected: RejectedWorkload };

export interface ParsedWorkloads {
  readonly workloads: readonly Workload[];
  readonly rejected: readonly RejectedWorkload[];
  readonly unknownFields: readonly string[];
}

/** One workload of an event; `path` is where it stands there. */
export function parseWorkload(raw: unknown, path: readonly PropertyKey[]): ParsedWorkload {
  const id = readId(raw);
  const kind = isObject(raw) ? raw["kind"] : undefined;
  if (isObject(raw) && !(typeof kind === "string" && KINDS.includes(kind))) {
    const given = typeof kind === "string" && KIND_NAME.test(kind) ? `"${kind}"` : describeType(kind);
    const reason = `${toFieldName([...path, "kind"])}: given ${given}; allowed: ${KINDS.join(", ")}`;
    return { rejected: { id, reason } };
  }
  const parsed = workloadSchema.safeParse(raw);
  if (!parsed.success) return { rejected: { id, reason: describeProblem(parsed.error, raw, { prefix: path }) } };
  return { workload: parsed.data, unknownFields: unknownFields(raw, parsed.data, ["workload"]) };
}

/** Each on its own: a bad one is set aside with its reason, and so is a second one with an id that was there before. */
export function collectWorkloads(results: readonly ParsedWorkload[]): ParsedWorkloads {
  const workloads = new Map<string, Workload>();
  const rejected: RejectedWorkload[] = [];
  const unknown = new Set<string>();
  for (const result of results) {
    if ("rejected" in result) rejected.push(result.rejected);
    else if (workloads.has(result.workload.id)) {
      const id = result.workload.id;
      rejected.push({ id, reason: `id: given "${id}" more than once; allowed: once, and the first counts` });
    } else {
      workloads.set(result.workload.id, result.workload);
      for (const field of result.unknownFields) unknown.add(field);
    }
  }
  return { workloads: [...workloads.values()], rejected, unknownFields: [...unknown] };
}

const MAX_UNKNOWN_FIELDS = 20;
const MAX_FIELD_NAME_LENGTH = 60;

/** Names of the fields of `raw` that its parsed form no longer has. Positions in lists are left out: `outputs[].colour`. */
export function unknownFields(raw: unknown, parsed: unknown, path: readonly string[] = []): string[] {
  const found = new Set<string>();
  const visit = (left: unknown, right: unknown, at: readonly string[]) => {
    if (found.size >= MAX_UNKNOWN_FIELDS) return;
    if (Array.isArray(left) && Array.isArray(right)) {
      const parent = [...at.slice(0, -1), `${at.at(-1) ?? ""}[]`];
      for (const [index, item] of left.entries()) visit(item, right[index], parent);
    } else if (isObject(left) && isObject(right)) {
      for (const key of Object.keys(left)) {
        const name = [...at, key.slice(0, MAX_FIELD_NAME_LENGTH)];
        if (Object.hasOwn(right, key)) visit(left[key], right[key], name);
        else found.add(name.join("."));
      }
    }
  };
  visit(raw, parsed, path);
  return [...found].slice(0, MAX_UNKNOWN_FIELDS);
}

function readId(raw: unknown): string | undefined {
  const id = isObject(raw) ? raw["id"] : undefined;
  return typeof id === "string" && IDENTIFIER_PATTERN.test(id) ? id : undefined;
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
