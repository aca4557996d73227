import { AppError } from "../../base/errors.ts";

/** Hubs of several versions may have one store: what a later one wrote, it has to give out. Whoever asks for it here asks again, and elsewhere. */
export class UnreadablePlan extends AppError {
  constructor(transfer: string) {
    super(
      "unavailable",
      `the plan of transfer ${transfer} was written by a later version of the hub, which has to give it out`,
    );
  }
}
