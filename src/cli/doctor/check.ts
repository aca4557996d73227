/** One thing that `sluice doctor` looked at. */
export interface Check {
  readonly name: string;
  readonly outcome: "ok" | "warn" | "fail";
  /** What was found. */
  readonly found: string;
  /** What to do about it; absent where nothing needs doing. */
  readonly advice?: string;
}

export function ok(name: string, found: string): Check {
  return { name, outcome: "ok", found };
}

export function warn(name: string, found: string, advice: string): Check {
  return { name, outcome: "warn", found, advice };
}

export function fail(name: string, found: string, advice: string): Check {
  return { name, outcome: "fail", found, advice };
}
