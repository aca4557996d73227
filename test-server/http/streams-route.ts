import type { FastifyInstance } from "fastify";
import { AppError } from "../../src/base/errors.ts";
import { describeWorkload } from "../../src/contract/describe-spec.ts";
import type { Workload } from "../../src/contract/workload.ts";
import type { Parts } from "../parts.ts";
import { parseStreamRequest, type StreamDefaults } from "./stream-request.ts";

/** The expected set: `GET`, `POST` (add or change one), `PUT` (the whole set) and `DELETE /streams/:id`. */
export function registerStreamsRoute(app: FastifyInstance, parts: Parts): void {
  const defaults: StreamDefaults = {
    freeId: () => freeId(parts.set.snapshot().workloads),
    outputOf: (id) => (parts.rtmp === undefined ? undefined : `${parts.rtmp.url}/${id}`),
  };

  app.get("/streams", () => parts.set.snapshot());

  app.post("/streams", (request, reply) => {
    const workload = parseStreamRequest(request.body, defaults);
    parts.set.put([workload]);
    const { revision } = parts.set.snapshot();
    parts.log.write("stream", `${workload.id} is expected now: ${describe(workload)}`);
    reply.code(201).send({ workload, revision, clients: parts.room.count() });
  });

  app.put("/streams", (request) => {
    const { list, confirm } = wholeSetOf(request.body);
    const workloads = list.map((item, index) => parseStreamRequest(item, defaults, `workloads.${index}`));
    parts.set.replace(workloads, confirm);
    parts.log.write("stream", `The whole set was replaced: ${workloads.map(({ id }) => id).join(", ") || "empty"}`);
    return parts.set.snapshot();
  });

  app.delete<{ Params: { id: string } }>("/streams/:id", (request) => {
    const { id } = request.params;
    if (parts.set.remove([id]).length === 0) {
      throw new AppError("not-found", `id: "${id}" is not in the expected set`, { field: "id" });
    }
    parts.log.write("stream", `${id} is not expected any more`);
    return { removed: id, revision: parts.set.snapshot().revision, clients: parts.room.count() };
  });
}

function wholeSetOf(body: unknown): { list: readonly unknown[]; confirm: boolean } {
  const list =
    typeof body !== "object" || body === null
      ? undefined
      : "workloads" in body
        ? body.workloads
        : "streams" in body
          ? body.streams
          : undefined;
  if (!Array.isArray(list)) {
    throw new AppError("invalid", 'workloads: a list of streams must be given, for example {"workloads":[]}', {
      field: "workloads",
    });
  }
  const confirm = typeof body === "object" && body !== null && "confirm" in body && body.confirm === true;
  return { list, confirm };
}

function freeId(workloads: readonly Workload[]): string {
  const taken = new Set(workloads.map(({ id }) => id));
  let number = 1;
  while (taken.has(`stream-${number}`)) number++;
  return `stream-${number}`;
}

function describe(workload: Workload): string {
  if (workload.kind !== "stream") return describeWorkload(workload);
  const { input, outputs } = workload.spec;
  return `${input.url} → ${outputs.map(({ url }) => url).join(", ")}`;
}
