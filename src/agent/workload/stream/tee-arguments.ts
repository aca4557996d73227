import type { MuxTarget } from "./output-arguments.ts";

/** A follower that broke tries again this often, inside the running FFmpeg. */
const RECOVERY_SECONDS = 5;
const FOLLOWER: readonly (readonly [string, string])[] = [
  ["attempt_recovery", "1"],
  ["recover_any_error", "1"],
  ["recovery_wait_time", String(RECOVERY_SECONDS)],
  ["drop_pkts_on_overflow", "1"],
  ["restart_with_keyframe", "1"],
  ["queue_size", "600"],
];

/**
 * One output is written directly. Several are written by one `tee`, so that they share one encoding: the first leads, and
 * its failure ends the process and restarts the stream; each of the others follows behind a queue of its own, which drops
 * and reconnects by itself and disturbs nobody.
 */
export function targetArguments(targets: readonly MuxTarget[]): string[] {
  const [leader, ...followers] = targets;
  if (leader === undefined) return [];
  if (followers.length === 0) {
    return ["-f", leader.format, ...leader.options.flatMap(([name, value]) => [`-${name}`, value]), leader.url];
  }
  const slaves = [
    slave(leader, [["onfail", "abort"]]),
    ...followers.map((follower) =>
      slave(follower, [
        ["onfail", "ignore"],
        ["use_fifo", "1"],
        ["fifo_options", FOLLOWER.map(([name, value]) => `${name}=${escapeFor(value, /[\\':]/g)}`).join(":")],
      ]),
    ),
  ];
  return ["-f", "tee", slaves.map((text) => escapeFor(text, /[\\'|]/g)).join("|")];
}

function slave(target: MuxTarget, extra: readonly (readonly [string, string])[]): string {
  const options = [["f", target.format] as const, ...extra, ...target.options];
  return `[${options.map(([name, value]) => `${name}=${escapeFor(value, /[\\':\]]/g)}`).join(":")}]${target.url}`;
}

/** FFmpeg takes one backslash off at each level (`av_get_token`). */
function escapeFor(text: string, special: RegExp): string {
  return text.replace(special, "\\$&");
}
