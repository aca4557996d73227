import { createHash } from "node:crypto";
import { join } from "node:path/posix";
import { AppError } from "../../base/errors.ts";
import { boxPathSchema } from "../../contract/fleet/box-view.ts";
import { recordingNameMatcher, recordingOf } from "../../contract/recording-name.ts";
import { parseMoveTarget } from "../../contract/stream-spec.ts";
import { pathText } from "../../contract/transfer/path-text.ts";
import {
  type SegmentAnswer,
  type SegmentAsk,
  segmentAnswerSchema,
  segmentAskSchema,
} from "../../contract/transfer/segment-ask.ts";
import { syncRequestSchema } from "../../contract/transfer/sync-request.ts";
import { joinPath } from "../../contract/transfer/transfer-path.ts";
import { type Call, type Route, route } from "../http/route.ts";
import type { HubContext } from "../hub-context.ts";
import type { TransferDesk } from "./transfer-desk.ts";
import type { TransferHall } from "./transfer-hall.ts";
import type { Transfer } from "./transfer-record.ts";

/** What has failed is tried again by itself: nobody sits and waits for it. */
const RETRY_MS = 60_000;

export interface SegmentRouteDeps {
  readonly hall: TransferHall;
  readonly desk: Pick<TransferDesk, "submit" | "retry">;
  readonly store: Pick<HubContext["store"], "expected">;
}

/** Finished files of recordings become transfers, as the stream's own rule says that this hub keeps. */
export function createSegmentRoute({ hall, desk, store }: SegmentRouteDeps): Route {
  const { book, workers, clock, keys } = hall;

  /** Of the set that the operators have written, and not of what the box says. */
  const placesOf = async (box: string, { stream, output: url }: SegmentAsk) => {
    const { entries } = await store.expected.get(box);
    const workload = entries.map((entry) => entry.workload).find(({ id }) => id === stream);
    const output = workload?.kind === "stream" ? workload.spec.outputs.find((one) => one.url === url) : undefined;
    const target = output?.move === undefined ? undefined : parseMoveTarget(output.move.to);
    const recording = output === undefined ? undefined : recordingOf(output);
    if (target === undefined || recording === undefined) {
      throw new AppError(
        "conflict",
        `stream ${stream} of box ${box} has no recording with that url and a rule to move it`,
      );
    }
    return { target, recording };
  };

  const settle = async (
    call: Pick<Call, "caller" | "request" | "address">,
    box: string,
    asked: SegmentAsk,
  ): Promise<SegmentAnswer["segments"]> => {
    const { target, recording } = await placesOf(box, asked);
    const matcher = recordingNameMatcher(recording.pattern);
    const answers: SegmentAnswer["segments"] = [];
    for (const { name, bytes, mtime_ns } of asked.segments) {
      if (!matcher.test(name) || name.includes("/")) {
        throw new AppError(
          "refused",
          `segments: given ${JSON.stringify(name)}; allowed: names as ${recording.pattern} makes them`,
        );
      }
      const text = pathText(Buffer.from(name));
      const request = syncRequestSchema.parse({
        request_id: requestIdOf(asked.stream, [box, asked.output, target.box, target.path, name, bytes, mtime_ns]),
        source_box: box,
        source_path: pathText(Buffer.from(join(recording.directory, name))),
        destination_path: joinPath(target.path, text),
        ...(target.box === undefined ? {} : { destination_box: target.box }),
      });
      const known = book.known(request.request_id ?? "");
      const { id } = known ?? (await desk.submit(request, call));
      const transfer = known ?? (await book.get(id));
      if (transfer?.phase === "failed" && clock.wallMs() - (transfer.endedMs ?? 0) >= RETRY_MS)
        await desk.retry(id, call);
      answers.push({ name, request_id: id, ...stateOf(transfer) });
    }
    return answers;
  };

  return route({
    method: "POST",
    path: "/v1/boxes/{box}/segments",
    access: "box",
    summary: "A box has finished files of a recording that a stream's rule moves: each becomes a transfer, once",
    params: boxPathSchema,
    body: segmentAskSchema,
    answer: segmentAnswerSchema,
    handle: async (call) => {
      const { caller, body, address, params } = call;
      await Promise.all([book.ready(), workers.ready()]);
      // Its own ids make it the same request again; the caller's would be one for all of them.
      const segments = await settle({ caller, address, request: undefined }, params.box, body);
      return { segments, keys: [...(await keys.list())] };
    },
  });
}

function stateOf(
  transfer: Transfer | undefined,
): Pick<SegmentAnswer["segments"][number], "state" | "reason" | "receipt"> {
  const { phase, reason = "", outcome } = transfer ?? {};
  if (phase === "failed") return { state: "failed", reason };
  if (phase !== "completed") return { state: "moving", reason };
  return { state: "moved", reason: "", ...(outcome?.receipt === undefined ? {} : { receipt: outcome.receipt }) };
}

/** Of the same file the same: `rec-cam-1-0123456789abcdef`. */
function requestIdOf(stream: string, facts: readonly unknown[]): string {
  return `rec-${stream}-${createHash("sha256").update(JSON.stringify(facts)).digest("hex").slice(0, 16)}`;
}
