import { join } from "node:path";
import { AppError } from "../base/errors.ts";
import { withinLimit } from "../base/within-limit.ts";
import { boxAddress, hubOfEvents } from "../contract/hub-address.ts";
import { type SegmentAnswer, type SegmentAsk, segmentAnswerSchema } from "../contract/transfer/segment-ask.ts";
import type { AgentContext } from "./agent-context.ts";
import type { Engine } from "./engine.ts";
import { parseJson, problemOf, readBoundedText } from "./link/problem-body.ts";
import { unitsOf } from "./reconcile/unit.ts";
import { openSegmentBook } from "./registry/segment-book.ts";
import { readToken } from "./uplink.ts";
import { systemSegmentDisk } from "./workload/stream/segment-disk.ts";
import { createSegmentMover, type MovingStream, type SegmentMover } from "./workload/stream/segment-mover.ts";

const PERIOD_MS = 5000;
const ANSWER_MS = 15_000;
const MAX_ANSWER_BYTES = 256 * 1024;

/** Finished recordings go where their streams' rules say. */
export function openSegmentMover(
  context: AgentContext,
  { store, reconciler }: Pick<Engine, "store" | "reconciler">,
): SegmentMover {
  const { options, clock, logFor } = context;
  const log = logFor("STREAM");
  const streams = (): readonly MovingStream[] => {
    const units = reconciler.units();
    return [...store.state().workloads.values()].flatMap((workload): readonly MovingStream[] => {
      const unit = units.get(workload.id);
      if (workload.kind !== "stream") return [];
      if (unit?.handle === undefined) return [{ workload, pids: undefined }];
      return [{ workload, pids: unitsOf(unit).flatMap(({ handle }) => handle?.identity?.pid ?? []) }];
    });
  };
  return createSegmentMover(
    { intervalMs: PERIOD_MS },
    {
      boxId: options.box.id,
      streams,
      disk: systemSegmentDisk,
      openBook: () =>
        openSegmentBook(join(options.files.stateDir, "moved_segments.json"), { clock, log, signal: context.life }),
      ask: (asked, signal) => askHub(context, asked, signal),
      clock,
      log,
    },
  );
}

async function askHub(context: AgentContext, asked: SegmentAsk, signal: AbortSignal): Promise<SegmentAnswer> {
  const { enrolment, options, clock } = context;
  const { endpoint } = options.link;
  const hub = enrolment?.status().hub ?? (endpoint === undefined ? undefined : hubOfEvents(endpoint)?.hub);
  if (hub === undefined) throw new AppError("config", "there is no hub that could move them");
  const token = await readToken(context);
  const late = () => new AppError("timeout", "the hub does not answer");
  return withinLimit({ ms: ANSWER_MS, late, signal }, clock, async (stop) => {
    const response = await (enrolment?.fetch ?? context.fetch)(new URL(boxAddress(hub, options.box.id, "segments")), {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(asked),
      redirect: "manual",
      signal: stop,
    });
    const text = await readBoundedText(response, MAX_ANSWER_BYTES);
    if (!response.ok) throw new AppError("unavailable", problemOf(text) ?? `the hub answers ${response.status}`);
    return segmentAnswerSchema.parse(parseJson(text));
  });
}
