import { z } from "zod";
import { workloadIdSchema } from "../../src/contract/identifier.ts";
import { streamSpecSchema } from "../../src/contract/stream-spec.ts";
import { type Workload, workloadSchema } from "../../src/contract/workload.ts";
import { parseBody } from "./parse-body.ts";

const shortFormSchema = z.strictObject({
  id: workloadIdSchema.optional(),
  name: z.string().max(200).optional(),
  input: streamSpecSchema.shape.input,
  /** Absent: this server's own RTMP with the id as the key. */
  output: z.string().optional(),
  outputs: streamSpecSchema.shape.outputs.optional(),
  video: streamSpecSchema.shape.video,
  audio: streamSpecSchema.shape.audio,
  preview: streamSpecSchema.shape.preview,
  rawArguments: streamSpecSchema.shape.rawArguments,
});

export interface StreamDefaults {
  /** An id that nobody uses yet. */
  readonly freeId: () => string;
  readonly outputOf: (id: string) => string | undefined;
}

/** A workload for either form: `{"kind":"stream","id","spec"}` or the short `{"id?","input","output?"}`. Throws `invalid`. */
export function parseStreamRequest(body: unknown, defaults: StreamDefaults, prefix = ""): Workload {
  if (typeof body === "object" && body !== null && "kind" in body) return parseBody(workloadSchema, body, prefix);
  const { id: givenId, name, output, outputs, ...spec } = parseBody(shortFormSchema, body, prefix);
  const id = givenId ?? defaults.freeId();
  const single = output ?? (outputs === undefined ? defaults.outputOf(id) : undefined);
  const workload = {
    kind: "stream",
    id,
    ...(name === undefined ? {} : { name }),
    spec: { ...withoutAbsent(spec), outputs: [...(single === undefined ? [] : [single]), ...(outputs ?? [])] },
  };
  return parseBody(workloadSchema, workload, prefix);
}

function withoutAbsent(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
