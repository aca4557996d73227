import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import { boxPathSchema } from "../../contract/fleet/box-view.ts";
import { telemetryQuerySchema, telemetryViewSchema } from "../../contract/fleet/telemetry-view.ts";
import { type Route, route } from "../http/route.ts";
import type { Store } from "../store/store.ts";
import { type Point, STEP_KEPT, STEP_MS } from "../store/thinning.ts";

const HOUR_MS = 3_600_000;

export function createTelemetryRoute(deps: { readonly store: Store; readonly clock: Clock }): Route {
  const { store, clock } = deps;
  return route({
    method: "GET",
    path: "/v1/boxes/{box}/telemetry",
    access: "viewer",
    summary: "Figures of a box and its workloads over time: an hour of 15 s, a day of 1 min, thirty days of 15 min",
    params: boxPathSchema,
    query: telemetryQuerySchema,
    answer: telemetryViewSchema,
    handle: async ({ params, query }) => {
      const { step, names } = query;
      if ((await store.boxes.get(params.box)) === undefined) {
        throw new AppError("not-found", `there is no box ${params.box}`, { field: "box" });
      }
      const toMs = query.to === undefined ? clock.wallMs() + STEP_MS[step] : Date.parse(query.to);
      const fromMs = query.from === undefined ? toMs - HOUR_MS : Date.parse(query.from);
      const points = await store.telemetry.read(params.box, { step, fromMs, toMs, limit: STEP_KEPT[step] + 1 });
      const wanted = names === undefined ? undefined : new Set(names.split(",").map((name) => name.trim()));
      return { step, points: points.map((point) => viewOf(point, wanted)) };
    },
  });
}

/** Pure. Rounded to what a chart can show. */
function viewOf({ atMs, values }: Point, wanted: ReadonlySet<string> | undefined) {
  const shown = Object.entries(values).filter(([name]) => wanted?.has(name) ?? true);
  return {
    at: new Date(atMs).toISOString(),
    values: Object.fromEntries(
      shown.map(([name, { mean, min, max }]) => [name, { mean: rounded(mean), min: rounded(min), max: rounded(max) }]),
    ),
  };
}

function rounded(value: number): number {
  return Number(value.toPrecision(6));
}
