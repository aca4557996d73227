import { formatWallTime } from "../../../base/log.ts";
import { OUTPUT_NAMES, type OutputName } from "../../../contract/fleet/log-line.ts";

/**
 * Lines of a session's log: `[2026-01-15 10:30:45] [stdout] text`, `[stderr+]` for one that goes on in the next of its output, and
 * `[gap] 3 lines, 120 bytes: reason` for what is missing. What a program writes stands behind its tag, so it can forge none.
 */
export interface SessionLine {
  readonly output: OutputName;
  readonly text: string;
  readonly continues: boolean;
}

export interface SessionGap {
  readonly lines?: number | undefined;
  readonly bytes?: number | undefined;
  readonly reason: string;
}

/** `time`: as `formatWallTime` gives it. */
export function formatSessionLine({ output, text, continues }: SessionLine, time: string): string {
  return `[${time}] [${output}${continues ? "+" : ""}] ${text}\n`;
}

export function formatSessionGap({ lines, bytes, reason }: SessionGap, wallMs: number): string {
  const amounts = [
    ...(lines === undefined ? [] : [`${lines} lines`]),
    ...(bytes === undefined ? [] : [`${bytes} bytes`]),
  ];
  const amount = amounts.length === 0 ? "an unknown amount" : amounts.join(", ");
  return `[${formatWallTime(wallMs)}] [gap] ${amount}: ${reason}\n`;
}

/** What stands behind the time; undefined for a line of anything but a session. */
export function parseSessionLine(rest: string): SessionLine | SessionGap | undefined {
  const [tag, name, plus] = /^\[(stdout|stderr|gap)(\+?)\] /.exec(rest) ?? [];
  if (tag === undefined) return undefined;
  const text = rest.slice(tag.length);
  const output = OUTPUT_NAMES.find((one) => one === name);
  if (output !== undefined) return { output, text, continues: plus === "+" };
  const [, lines, bytes, reason] =
    /^(?:(\d+) lines)?(?:, )?(?:(\d+) bytes)?(?:an unknown amount)?: (.*)$/.exec(text) ?? [];
  if (reason === undefined) return undefined;
  return {
    ...(lines === undefined ? {} : { lines: Number(lines) }),
    ...(bytes === undefined ? {} : { bytes: Number(bytes) }),
    reason,
  };
}
