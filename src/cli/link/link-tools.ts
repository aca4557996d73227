import type { ApartLaunch } from "../../base/start-apart.ts";

/** What kept links need from outside. */
export interface LinkTools {
  readonly userId: number;
  /** This very program, down to its file: another must not use what this one started. */
  readonly program: readonly string[];
  /** Resolves when it was asked for. Rejects with `storage`. */
  readonly startApart: (launch: ApartLaunch) => Promise<void>;
}
