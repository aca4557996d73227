import type { NodeTelemetry, Report } from "../../contract/report.ts";

/**
 * Pure. The figures of a report by their names: `node.cpuPercent`, `node.memoryPercent`, `node.diskPercent` (of the fullest disk),
 * `node.temperatureC`, `node.load1`, `node.receivedKbit`, `node.sentKbit`; of a workload `cam-1/fps`, `cam-1/bitrateKbit`,
 * `cam-1/speed`, `cam-1/droppedFrames`, `cam-1/cpuPercent`, `cam-1/rssBytes`, `cam-1/restarts`.
 */
export function figuresOf(report: Report): Readonly<Record<string, number>> {
  const figures = new Map<string, number>();
  const set = (name: string, value: number | undefined) => {
    if (value !== undefined && Number.isFinite(value)) figures.set(name, value);
  };
  for (const [name, value] of Object.entries(nodeFigures(report.node))) set(`node.${name}`, value);
  for (const { id, media, cpuPercent, rssBytes, restarts } of report.workloads) {
    set(`${id}/fps`, media?.fps);
    set(`${id}/bitrateKbit`, media?.bitrateKbit);
    set(`${id}/speed`, media?.speed);
    set(`${id}/droppedFrames`, media?.droppedFrames);
    set(`${id}/cpuPercent`, cpuPercent);
    set(`${id}/rssBytes`, rssBytes);
    set(`${id}/restarts`, restarts);
  }
  return Object.fromEntries(figures);
}

/** Pure. What a box's view shows of its machine, and two more. */
export function nodeFigures(node: NodeTelemetry | undefined): Readonly<Record<string, number | undefined>> {
  if (node === undefined) return {};
  const { cpuPercent, memory, temperatureC, load, network } = node;
  return {
    cpuPercent,
    memoryPercent: memory === undefined ? undefined : percent(memory.usedBytes, memory.totalBytes),
    diskPercent: fullestDisk(node),
    temperatureC,
    load1: load?.[0],
    receivedKbit: network === undefined ? undefined : (network.receivedBytesPerSecond * 8) / 1000,
    sentKbit: network === undefined ? undefined : (network.sentBytesPerSecond * 8) / 1000,
  };
}

/** Pure. Percent in use of the disk that has least left; `undefined` where none is told. */
export function fullestDisk(node: NodeTelemetry | undefined): number | undefined {
  const shares = (node?.disks ?? []).flatMap(({ usedBytes, totalBytes }) => percent(usedBytes, totalBytes) ?? []);
  return shares.length === 0 ? undefined : Math.max(...shares);
}

function percent(used: number, total: number): number | undefined {
  return total > 0 ? Math.min(100, Math.max(0, (used / total) * 100)) : undefined;
}
