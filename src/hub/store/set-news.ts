import type { Box } from "./box.ts";
import type { LoggedChange } from "./expected-set.ts";

/** One step of a box's set, with the box as it stood in that very step. */
export interface SetNews {
  readonly box: Box;
  readonly epoch: string;
  readonly change: LoggedChange;
}
