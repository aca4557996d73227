import { parseRecordingPath, type RecordingPath } from "../../contract/recording-name.ts";
import type { StreamOutput } from "../../contract/stream-spec.ts";
import { parseStreamUrl } from "../../contract/stream-url.ts";
import type { Workload } from "../../contract/workload.ts";
import { isInsideRoots, type PathLookup } from "../workload/stream/file-root.ts";
import { outputKindOf } from "../workload/stream/output-kind.ts";

/** What a workload writes to this box's disks. Pure but for the look at links. */

/** The root that an output's files lie below; undefined for an output to the network. */
export function rootOf(output: StreamOutput, roots: readonly string[], disk: PathLookup): string | undefined {
  const path = filePathOf(output);
  return path === undefined ? undefined : roots.find((root) => isInsideRoots(path, [root], disk));
}

export function writesFiles(workload: Workload): boolean {
  return outputsOf(workload).some((output) => filePathOf(output) !== undefined);
}

/** The workload with those outputs only that go elsewhere; undefined when none does. The same object when all do. */
export function withoutRoots(
  workload: Workload,
  paused: readonly string[],
  place: { readonly roots: readonly string[]; readonly disk: PathLookup },
): Workload | undefined {
  if (workload.kind !== "stream") return workload;
  const outputs = workload.spec.outputs.filter((output) => {
    const root = rootOf(output, place.roots, place.disk);
    return root === undefined || !paused.includes(root);
  });
  if (outputs.length === workload.spec.outputs.length) return workload;
  return outputs.length === 0 ? undefined : { ...workload, spec: { ...workload.spec, outputs } };
}

/** The recordings of a workload, with the root that each lies below. Playlists bound themselves. */
export function recordingsOf(
  workload: Workload,
  roots: readonly string[],
  disk: PathLookup,
): { readonly root: string; readonly recording: RecordingPath }[] {
  return outputsOf(workload).flatMap((output) => {
    const parsed = parseStreamUrl(output.url);
    const root = rootOf(output, roots, disk);
    // What is to be moved is removed when it has arrived, and never for want of room.
    if (output.move !== undefined) return [];
    if (!parsed.ok || root === undefined || outputKindOf(parsed.url) !== "recording") return [];
    const path = parseRecordingPath(parsed.url.path);
    return path.ok ? [{ root, recording: path.recording }] : [];
  });
}

function outputsOf(workload: Workload): readonly StreamOutput[] {
  return workload.kind === "stream" ? workload.spec.outputs : [];
}

function filePathOf({ url }: StreamOutput): string | undefined {
  const parsed = parseStreamUrl(url);
  if (!parsed.ok) return undefined;
  const kind = outputKindOf(parsed.url);
  return kind === "recording" || kind === "hls-files" ? parsed.url.path : undefined;
}
