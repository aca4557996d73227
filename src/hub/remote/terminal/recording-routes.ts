import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { AppError, errnoOf } from "../../../base/errors.ts";
import { pageQuerySchema } from "../../../contract/fleet/page.ts";
import {
  type RecordingMode,
  type RecordingView,
  recordingPageSchema,
  recordingPathSchema,
} from "../../../contract/fleet/remote-recording.ts";
import { choosePage } from "../../fleet/fleet-pages.ts";
import { isoOf, writeOf } from "../../fleet/write-of.ts";
import { type Route, route } from "../../http/route.ts";
import type { HubContext } from "../../hub-context.ts";
import type { Page } from "../../store/page.ts";
import { notFound } from "../../store/store-error.ts";
import type { Operator } from "../remote-admission.ts";
import { askedBy } from "../remote-routes.ts";
import { RECORDING_SUFFIX } from "./recordings.ts";

const HEAD_BYTES = 4096;
/** Of files that are opened for one answer. */
const MAX_PAGE = 200;
const headSchema = z.object({
  timestamp: z.number(),
  sluice: z.object({ session: z.string(), box: z.string(), operator: z.string(), tokenId: z.string() }),
});

interface Head {
  readonly view: RecordingView;
  readonly tokenId: string;
}

/** What terminals in browsers have shown, as this hub has recorded it. Everybody has their own, and an admin all. */
export function createRecordingRoutes(
  { store, clock }: Pick<HubContext, "store" | "clock">,
  { directory, mode }: { readonly directory: string | undefined; readonly mode: RecordingMode },
): readonly Route[] {
  const list = async (after: string | undefined, limit: number): Promise<Page<string>> => {
    if (directory === undefined) return { items: [], next: undefined };
    const names = await readdir(directory).catch((thrown: unknown) => {
      if (errnoOf(thrown) === "ENOENT") return [];
      throw new AppError("storage", "the recordings cannot be listed", { cause: thrown });
    });
    // Names begin with the time, the newest first.
    const ids = names
      .flatMap((name) => (name.endsWith(RECORDING_SUFFIX) ? [name.slice(0, -RECORDING_SUFFIX.length)] : []))
      .filter((id) => after === undefined || id > after)
      .sort();
    const items = ids.slice(0, limit);
    const last = items.at(-1);
    return { items, next: ids.length > items.length ? last : undefined };
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
  const headOf = async (file: Awaited<ReturnType<typeof openOf>>): Promise<Head | undefined> => {
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    const [line = ""] = buffer.subarray(0, bytesRead).toString("utf8").split("\n", 1);
    const head = headSchema.safeParse(jsonOf(line));
    if (!head.success) return undefined;
    const { timestamp, sluice } = head.data;
    const { session, box, operator, tokenId } = sluice;
    return { view: { id: session, box, operator, startedAt: isoOf(timestamp * 1000), bytes: size }, tokenId };
  };
  const readHead = async (id: string): Promise<Head | undefined> => {
    await using file = await openOf(id);
    return await headOf(file);
  };

  return [
    route({
      method: "GET",
      path: "/v1/remote/recordings",
      access: "operator",
      summary:
        "Recordings of terminals in browsers that this hub has made, newest first: one's own, or all for an admin",
      query: pageQuerySchema,
      answer: recordingPageSchema,
      handle: async (call) => {
        const { caller } = askedBy(call);
        const page = await choosePage(
          { ...call.query, limit: Math.min(call.query.limit, MAX_PAGE) },
          {
            list: (after) => list(after, MAX_PAGE),
            choose: async (id) => {
              // One that is not there any more, or is no recording of this hub, is left out.
              const head = await readHead(id).catch(() => undefined);
              return head !== undefined && mayRead(head, caller) ? head.view : undefined;
            },
            cursorOf: (id) => id,
          },
        );
        return { ...page, mode };
      },
    }),
    route({
      method: "GET",
      path: "/v1/remote/recordings/{id}",
      access: "operator",
      summary: "One recording, as asciicast v2: one's own, or any for an admin",
      params: recordingPathSchema,
      streamType: "application/x-asciicast",
      stream: async (call, { response }) => {
        const { id } = call.params;
        await using file = await openOf(id);
        const head = await headOf(file);
        if (head === undefined || !mayRead(head, askedBy(call).caller)) throw notFound("recording", id);
        const { audit } = writeOf(call, clock, { action: "remote.recording.read", subject: `remote/${id}` });
        if (audit !== undefined) await store.audit.append(audit, clock.wallMs());
        response.writeHead(200, { "content-type": "application/x-asciicast" });
        await pipeline(file.createReadStream({ start: 0, autoClose: false }), response, { signal: call.signal });
      },
    }),
  ];
}

function mayRead({ tokenId }: Head, caller: Operator): boolean {
  return caller.role === "admin" || caller.tokenId === tokenId;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
