import { createHash } from "node:crypto";
import { z } from "zod";
import { workloadIdSchema } from "./identifier.ts";
import { isSessionCommand } from "./session-command.ts";
import { parseSimpleCommand } from "./simple-command.ts";
import type { BadEventReason, WireEvent } from "./wire-event.ts";
import { describeProblem, describeType, toFieldName } from "./wire-event-problem.ts";
import {
  collectWorkloads,
  isObject,
  type ParsedWorkload,
  parseWorkload,
  unknownFields,
} from "./wire-event-workload.ts";

/** Where `{streamKey}` stands in an output template. */
export const STREAM_KEY_PLACE = "{streamKey}";

export type SimpleFormResult =
  | { readonly ok: WireEvent; readonly unknownFields: readonly string[] }
  | { readonly bad: BadEventReason; readonly message: string }
  | { readonly ignored: string };

const url = z.string().min(1).max(4096);
const addressable = z.union([url, z.looseObject({ url })]);

const streamFields = {
  id: workloadIdSchema.optional(),
  name: z.unknown().optional(),
  input: addressable.optional(),
  output: addressable.optional(),
  cameraUrl: url.optional(),
  streamKey: z
    .string()
    .min(1)
    .max(1024)
    .refine((key) => key !== "." && key !== "..", "a key that names no other path")
    .optional(),
  video: z.unknown().optional(),
  audio: z.unknown().optional(),
  preview: z.unknown().optional(),
  priority: z.unknown().optional(),
  resources: z.unknown().optional(),
  via: z.unknown().optional(),
  /** One end of a tunnel, whole, instead of addresses. */
  tunnel: z.looseObject({ uid: z.string(), role: z.string() }).optional(),
  /** What runs on the box beside streams, whole, instead of addresses. Needs an `id`. */
  session: z.looseObject({}).optional(),
  power: z.unknown().optional(),
};

const streamSchema = z.object(streamFields);
const eventSchema = z.object({ eventType: z.enum(["start", "stop"]), ...streamFields });
const snapshotSchema = z.object({
  eventType: z.literal("snapshot"),
  streams: z.array(z.unknown()),
  confirm: z.boolean().optional(),
});

type SimpleStream = z.output<typeof streamSchema>;
type Endpoints = { readonly input: unknown; readonly output: unknown; readonly id: string };

/**
 * The form of home-made servers: `{"eventType":"start"|"stop"|"snapshot", …}` without an event name. What such servers send
 * beside it (a greeting, `health`, `config`, `restart`) is ignored, not bad.
 */
export function parseSimpleForm(raw: unknown, outputTemplate: string | undefined): SimpleFormResult {
  if (!isObject(raw)) return invalid(`event: given ${describeType(raw)}; allowed: an object`);
  const eventType = raw["eventType"];
  if (eventType === undefined && typeof raw["type"] === "string") {
    return { ignored: `event without eventType, of type "${raw["type"].slice(0, 60)}"` };
  }
  if (typeof eventType !== "string") {
    return invalid(`eventType: given ${describeType(eventType)}; allowed: start, stop, snapshot`);
  }
  if (isSessionCommand(eventType)) return parseSimpleCommand(eventType, raw);
  if (!["start", "stop", "snapshot"].includes(eventType)) return { ignored: `eventType "${eventType.slice(0, 60)}"` };
  if (eventType === "snapshot") return parseSnapshot(raw, outputTemplate);
  const parsed = eventSchema.safeParse(raw);
  if (!parsed.success) return invalid(describeProblem(parsed.error, raw));
  if (eventType === "start") return parseStart(raw, parsed.data, outputTemplate);
  return parseStop(raw, parsed.data, outputTemplate);
}

/** `s-` and 12 hexadecimal digits; the same two addresses give the same id on every box and in every release. */
export function deriveStreamId(input: string, output: string): string {
  return `s-${createHash("sha256")
    .update(JSON.stringify([input, output]))
    .digest("hex")
    .slice(0, 12)}`;
}

/** The key becomes one segment of the path (RFC 3986): it can neither leave its place nor add a query. */
export function fillOutputTemplate(template: string, streamKey: string): string {
  const segment = encodeURIComponent(streamKey.toWellFormed()).replace(
    /%(?:24|26|2B|2C|3A|3B|3D|40)/g,
    decodeURIComponent,
  );
  return template.replaceAll(STREAM_KEY_PLACE, () => segment);
}

function parseStart(raw: unknown, stream: SimpleStream, outputTemplate: string | undefined): SimpleFormResult {
  const result = toWorkload(stream, outputTemplate, []);
  if ("rejected" in result) return invalid(result.rejected.reason);
  const unknown = unknownFields(raw, { ...stream, eventType: "start" });
  return { ok: { kind: "start", workload: result.workload }, unknownFields: [...unknown, ...result.unknownFields] };
}

function parseStop(raw: unknown, stream: SimpleStream, outputTemplate: string | undefined): SimpleFormResult {
  const unknown = unknownFields(raw, { ...stream, eventType: "stop" });
  if (stream.id !== undefined) return { ok: { kind: "stop", workloadId: stream.id }, unknownFields: unknown };
  if (stream.tunnel !== undefined) {
    return { ok: { kind: "stop", workloadId: tunnelEndId(stream.tunnel) }, unknownFields: unknown };
  }
  const ends = findEndpoints(stream, outputTemplate, []);
  if ("problem" in ends) return invalid(ends.problem);
  return { ok: { kind: "stop", workloadId: ends.id }, unknownFields: unknown };
}

function parseSnapshot(raw: unknown, outputTemplate: string | undefined): SimpleFormResult {
  const parsed = snapshotSchema.safeParse(raw);
  if (!parsed.success) return invalid(describeProblem(parsed.error, raw));
  const unknown = new Set(unknownFields(raw, parsed.data));
  const results = parsed.data.streams.map((item, index): ParsedWorkload => {
    const path = ["streams", index];
    const stream = streamSchema.safeParse(item);
    if (!stream.success) {
      return { rejected: { id: undefined, reason: describeProblem(stream.error, item, { prefix: path }) } };
    }
    for (const field of unknownFields(item, { ...stream.data, eventType: "start" })) unknown.add(`streams[].${field}`);
    return toWorkload(stream.data, outputTemplate, path);
  });
  const { workloads, rejected, unknownFields: inner } = collectWorkloads(results);
  const confirm = parsed.data.confirm ?? false;
  return { ok: { kind: "whole", workloads, rejected, confirm }, unknownFields: [...unknown, ...inner] };
}

function toWorkload(
  stream: SimpleStream,
  outputTemplate: string | undefined,
  path: readonly PropertyKey[],
): ParsedWorkload {
  const { name, video, audio, preview, priority, resources, via, tunnel, session, power } = stream;
  const common = {
    ...(name === undefined ? {} : { name }),
    ...(priority === undefined ? {} : { priority }),
    ...(resources === undefined ? {} : { resources }),
  };
  if (tunnel !== undefined) {
    return parseWorkload({ kind: "tunnel", id: stream.id ?? tunnelEndId(tunnel), ...common, spec: tunnel }, path);
  }
  if (session !== undefined) {
    const awake = power === undefined ? {} : { power };
    return parseWorkload({ kind: "session", id: stream.id, ...common, ...awake, spec: session }, path);
  }
  const ends = findEndpoints(stream, outputTemplate, path);
  if ("problem" in ends) return { rejected: { id: stream.id, reason: ends.problem } };
  const candidate = {
    kind: "stream",
    id: ends.id,
    ...common,
    spec: {
      input: ends.input,
      outputs: [ends.output],
      ...(video === undefined ? {} : { video }),
      ...(audio === undefined ? {} : { audio }),
      ...(preview === undefined ? {} : { preview }),
      ...(via === undefined ? {} : { via }),
    },
  };
  return parseWorkload(candidate, path);
}

/** `t-1.producer`: as a hub calls the two ends. */
function tunnelEndId({ uid, role }: { readonly uid: string; readonly role: string }): string {
  return `${uid}.${role}`;
}

function findEndpoints(
  stream: SimpleStream,
  outputTemplate: string | undefined,
  path: readonly PropertyKey[],
): Endpoints | { readonly problem: string } {
  const at = (field: string) => toFieldName([...path, field]);
  const input = stream.input ?? stream.cameraUrl;
  if (input === undefined) return { problem: `${at("input")}: given nothing; allowed: input, or cameraUrl` };
  let output = stream.output;
  if (output === undefined) {
    if (stream.streamKey === undefined) {
      return { problem: `${at("output")}: given nothing; allowed: output, or streamKey` };
    }
    if (outputTemplate === undefined || !outputTemplate.includes(STREAM_KEY_PLACE)) {
      const lack =
        outputTemplate === undefined ? "no streams.outputTemplate" : `no ${STREAM_KEY_PLACE} in streams.outputTemplate`;
      return {
        problem: `${at("streamKey")}: given with ${lack} on this box; allowed: output, or a key where a template says what it belongs to`,
      };
    }
    output = fillOutputTemplate(outputTemplate, stream.streamKey);
  }
  return { input, output, id: stream.id ?? deriveStreamId(addressOf(input), addressOf(output)) };
}

function addressOf(end: string | { readonly url: string }): string {
  return typeof end === "string" ? end : end.url;
}

function invalid(message: string): SimpleFormResult {
  return { bad: "invalid", message };
}
