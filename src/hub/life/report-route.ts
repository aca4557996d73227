import { z } from "zod";
import { boxPathSchema } from "../../contract/fleet/box-view.ts";
import { reportSchema } from "../../contract/report.ts";
import { type Route, route } from "../http/route.ts";
import type { ReportIntake } from "./report-intake.ts";

/** A box with a thousand workloads needs half of it; an agent leaves out what would make its report larger. */
export const MAX_REPORT_BYTES = 2 * 1024 * 1024;

export function createReportRoute(intake: ReportIntake): Route {
  return route({
    method: "POST",
    path: "/v1/boxes/{box}/report",
    access: "box-any-state",
    summary: "What a box says of itself",
    params: boxPathSchema,
    body: reportSchema,
    maxBodyBytes: MAX_REPORT_BYTES,
    answer: z.object({ answer: z.enum(["accepted", "stale", "superseded"]) }),
    status: 202,
    handle: async ({ params, body }) => ({ answer: await intake.take(params.box, body) }),
  });
}
