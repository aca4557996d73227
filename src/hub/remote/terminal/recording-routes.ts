import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { AppError, errnoOf } from "../../../base/errors.ts";
import { pageQuerySchema, pageSchema } from "../../../contract/fleet/page.ts";
import {
  type RecordingView,
  recordingPathSchema,
  recordingViewSchema,
} from "../../../contract/fleet/remote-recording.ts";
import { isoOf, writeOf } from "../../fleet/write-of.ts";
import { type Route, route } from "../../http/route.ts";
import type { HubContext } from "../../hub-context.ts";
import { notFound } from "../../store/store-error.ts";
import { RECORDING_SUFFIX } from "./recorder.ts";

const HEAD_BYTES = 2048;
const headSchema = z.object({
  timestamp: z.number(),
  sluice: z.object({ session: z.string(), box: z.string(), operator: z.string() }),
});

/** What terminals in browsers have shown, as this hub has recorded it. */
export function createRecordingRoutes(
  { store, clock }: Pick<HubContext, "store" | "clock">,
  { directory }: { readonly directory: string | undefined },
): readonly Route[] {
  const namesOf = async (): Promise<readonly string[]> => {
    if (directory === undefined) return [];
    try {
      const names = await readdir(directory);
      return names
        .flatMap((name) => (name.endsWith(RECORDING_SUFFIX) ? [name.slice(0, -RECORDING_SUFFIX.length)] : []))
        .sort();
    } catch (thrown) {
      if (errnoOf(thrown) === "ENOENT") return [];
      throw new AppError("storage", "the recordings cannot be listed", { cause: thrown });
    }
  };
  const openOf = async (id: string) => {
    if (directory === undefined) throw notFound("recording", id);
    try {
      return await open(join(directory, `${id}${RECORDING_SUFFIX}`), "r");
    } catch (thrown) {
      if (errnoOf(thrown) === "ENOENT") throw notFound("recording", id);
      throw new AppError("storage", `the recording ${id} cannot be read`, { cause: thrown });
    }
  };
  const viewOf = async (id: string): Promise<RecordingView | undefined> => {
    await using file = await openOf(id);
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    const [line = ""] = buffer.subarray(0, bytesRead).toString("utf8").split("\n", 1);
    const head = headSchema.safeParse(jsonOf(line));
    if (!head.success) return undefined;
    const { timestamp, sluice } = head.data;
    return {
      id: sluice.session,
      box: sluice.box,
      operator: sluice.operator,
      startedAt: isoOf(timestamp * 1000),
      bytes: size,
    };
  };

  return [
    route({
      method: "GET",
      path: "/v1/remote/recordings",
      access: "admin",
      summary: "Recordings of terminals in browsers that this hub has made, newest first",
      query: pageQuerySchema,
      answer: pageSchema(recordingViewSchema),
      handle: async ({ query }) => {
        const names = (await namesOf()).filter((name) => query.after === undefined || name > query.after);
        const page = names.slice(0, query.limit);
        const views = await Promise.all(page.map((name) => viewOf(name).catch(() => undefined)));
        const last = page.at(-1);
        return {
          items: views.filter((view) => view !== undefined),
          ...(last !== undefined && names.length > page.length ? { next: last } : {}),
        };
      },
    }),
    route({
      method: "GET",
      path: "/v1/remote/recordings/{id}",
      access: "admin",
      summary: "One recording, as asciicast v2",
      params: recordingPathSchema,
      streamType: "application/x-asciicast",
      stream: async (call, { response }) => {
        const { id } = call.params;
        await using file = await openOf(id);
        const { audit } = writeOf(call, clock, { action: "remote.recording.read", subject: `remote/${id}` });
        if (audit !== undefined) await store.audit.append(audit, clock.wallMs());
        response.writeHead(200, { "content-type": "application/x-asciicast" });
        await pipeline(file.createReadStream({ autoClose: false }), response, { signal: call.signal });
      },
    }),
  ];
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
