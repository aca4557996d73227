import type { z } from "zod";
import type { pullLineSchema } from "./engine-answers.ts";

export interface PullProgress {
  readonly doneBytes: number;
  /** Of the layers that are known so far. */
  readonly totalBytes: number;
}

/** Sums up what the engine tells of each layer by itself. */
export function createPullSum(): (line: z.output<typeof pullLineSchema>) => PullProgress {
  const layers = new Map<string, { readonly current: number; readonly total: number }>();
  return ({ id, status, progressDetail }) => {
    const { current, total } = progressDetail ?? {};
    // Unpacking counts anew what was fetched before.
    if (id !== undefined && status === "Downloading" && current !== undefined && total !== undefined) {
      layers.set(id, { current, total });
    }
    const layer = id === undefined ? undefined : layers.get(id);
    if (id !== undefined && layer !== undefined && status === "Download complete") {
      layers.set(id, { current: layer.total, total: layer.total });
    }
    const all = [...layers.values()];
    return {
      doneBytes: all.reduce((sum, { current: done }) => sum + done, 0),
      totalBytes: all.reduce((sum, { total: whole }) => sum + whole, 0),
    };
  };
}
