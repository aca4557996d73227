import { z } from "zod";
import { parseSimpleForm, type SimpleFormResult } from "./simple-form.ts";
import type { RejectedWorkload } from "./wire-event.ts";
import { DEFAULT_JSON_LIMITS, type JsonLimits, parseBoundedJson } from "./wire-event-json.ts";
import { describeProblem } from "./wire-event-problem.ts";
import { collectWorkloads, parseWorkload, unknownFields } from "./wire-event-workload.ts";

/** Versions of the event family that this side understands; an event without one is of version 1. */
export const WIRE_EVENT_VERSION = 1;

/** Event names with a meaning. `message` is what an event without a name is called. */
export const WIRE_EVENT_NAMES = ["expected", "change", "command", "hold", "ready", "message"] as const;
type WireEventName = (typeof WIRE_EVENT_NAMES)[number];

export interface WireEventContext {
  /** For the simple form with a stream key: `rtmp://host/live/{streamKey}`. */
  readonly outputTemplate: string | undefined;
  /** Default: 1 MiB and 32 levels. */
  readonly limits?: JsonLimits;
}

/**
 * - `ok`: what the event means, and the fields of it that nobody here knows;
 * - `bad`: skipped, with one message that names the field, what was given (never the text itself) and what is allowed;
 * - `ignored`: not for us; the text names it.
 */
export type ParsedWireEvent = SimpleFormResult;

const version = z.literal(WIRE_EVENT_VERSION).optional();
const epoch = z.string().min(1).max(128);

const expectedSchema = z.object({
  version,
  epoch,
  revision: z.int().min(0),
  workloads: z.array(z.unknown()),
  confirm: z.boolean().optional(),
});

const changeSchema = z.object({
  version,
  epoch: epoch.optional(),
  revision: z.int().min(1),
  put: z.array(z.unknown()).optional(),
  remove: z.array(z.string().min(1).max(200)).optional(),
});

const commandSchema = z.object({
  version,
  id: z.string().min(1).max(128),
  name: z.string().min(1).max(128),
  args: z.record(z.string(), z.unknown()).optional(),
  deadline: z.iso.datetime({ offset: true, error: "a time such as 2026-01-15T10:30:45Z" }).optional(),
});

const holdSchema = z.object({ version, reason: z.string().min(1).max(64) });

const PARSERS: Readonly<Record<WireEventName, (raw: unknown, context: WireEventContext) => ParsedWireEvent>> = {
  expected: parseExpected,
  change: parseChange,
  command: parseCommand,
  hold: parseHold,
  ready: () => ({ ok: { kind: "ready" }, unknownFields: [] }),
  message: (raw, context) => parseSimpleForm(raw, context.outputTemplate),
};

/** What one event means. `data` is the event's data after SSE parsing. Never throws. */
export function parseWireEvent(eventName: string, data: string, context: WireEventContext): ParsedWireEvent {
  const name = WIRE_EVENT_NAMES.find((known) => known === (eventName === "" ? "message" : eventName));
  if (name === undefined) return { ignored: `event type "${eventName.slice(0, 60)}"` };
  const json = parseBoundedJson(data, context.limits ?? DEFAULT_JSON_LIMITS);
  if ("bad" in json) return json;
  return PARSERS[name](json.value, context);
}

function parseExpected(raw: unknown): ParsedWireEvent {
  const parsed = expectedSchema.safeParse(raw);
  if (!parsed.success) return invalid(parsed.error, raw);
  const { epoch, revision, confirm } = parsed.data;
  const list = parsed.data.workloads.map((item, index) => parseWorkload(item, ["workloads", index]));
  const { workloads, rejected, unknownFields: inner } = collectWorkloads(list);
  return {
    ok: { kind: "snapshot", epoch, revision, workloads, rejected, confirm: confirm ?? false },
    unknownFields: [...unknownFields(raw, parsed.data), ...inner],
  };
}

function parseChange(raw: unknown): ParsedWireEvent {
  const parsed = changeSchema.safeParse(raw);
  if (!parsed.success) return invalid(parsed.error, raw);
  const { epoch, revision } = parsed.data;
  const remove = [...new Set(parsed.data.remove)];
  const list = (parsed.data.put ?? []).map((item, index) => parseWorkload(item, ["put", index]));
  const collected = collectWorkloads(list);
  const contradictory = collected.workloads.filter(({ id }) => remove.includes(id));
  const rejected: RejectedWorkload[] = contradictory.map(({ id }) => ({
    id,
    reason: `put: given "${id}", which remove names too; allowed: one of the two, and remove counts`,
  }));
  return {
    ok: {
      kind: "change",
      epoch,
      revision,
      put: collected.workloads.filter((workload) => !contradictory.includes(workload)),
      remove,
      rejected: [...collected.rejected, ...rejected],
    },
    unknownFields: [...unknownFields(raw, parsed.data), ...collected.unknownFields],
  };
}

function parseCommand(raw: unknown): ParsedWireEvent {
  const parsed = commandSchema.safeParse(raw);
  if (!parsed.success) return invalid(parsed.error, raw);
  const { id, name, args, deadline } = parsed.data;
  const deadlineMs = deadline === undefined ? undefined : Date.parse(deadline);
  return {
    ok: { kind: "command", id, name, args: args ?? {}, deadlineMs },
    unknownFields: unknownFields(raw, parsed.data),
  };
}

function parseHold(raw: unknown): ParsedWireEvent {
  const parsed = holdSchema.safeParse(raw);
  if (!parsed.success) return invalid(parsed.error, raw);
  return { ok: { kind: "hold", reason: parsed.data.reason }, unknownFields: unknownFields(raw, parsed.data) };
}

function invalid(error: z.ZodError, raw: unknown): ParsedWireEvent {
  return { bad: "invalid", message: describeProblem(error, raw) };
}
