import { z } from "zod";
import { boxPathSchema } from "../../contract/fleet/box-view.ts";
import { anyReportSchema } from "../../contract/report-delta.ts";
import { type Route, route } from "../http/route.ts";
import { MAX_REPORT_BYTES, type ReportIntake } from "./report-intake.ts";

export function createReportRoute(intake: ReportIntake): Route {
  return route({
    method: "POST",
    path: "/v1/boxes/{box}/report",
    access: "box-any-state",
    summary: "What a box says of itself",
    params: boxPathSchema,
    body: anyReportSchema,
    maxBodyBytes: MAX_REPORT_BYTES,
    answer: z.object({
      answer: z.enum(["accepted", "stale", "superseded"]),
      deltas: z.literal(true).describe("Once accepted, the next report may be a delta on this one."),
    }),
    status: 202,
    handle: async ({ params, body }) => ({ answer: await intake.take(params.box, body), deltas: true as const }),
  });
}
