/** What decides how loudly it is told that an engine cannot be used. */
export interface AwayEngine {
  /** There is nothing at its place. */
  readonly isAbsent: boolean;
  /** It was ready in this agent's life. */
  readonly wasReady: boolean;
  /** Somebody set it, or its place, in the configuration. */
  readonly isNamed: boolean;
  /** An expected session waits for it. */
  readonly isAwaited: boolean;
}

export type Loudness = "silent" | "info" | "warn";

/** Pure. An engine that merely is among the defaults, and that nothing needs, is no trouble of the box. */
export function awayLoudness({ isAbsent, wasReady, isNamed, isAwaited }: AwayEngine): Loudness {
  if (wasReady || isNamed || isAwaited) return "warn";
  return isAbsent ? "silent" : "info";
}

const ORDER: readonly Loudness[] = ["silent", "info", "warn"];

export function isLouder(one: Loudness, other: Loudness): boolean {
  return ORDER.indexOf(one) > ORDER.indexOf(other);
}
