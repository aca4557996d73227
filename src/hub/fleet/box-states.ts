import type { BoxConnection } from "../../contract/fleet/box-view.ts";

/** Whether boxes are there. */
export interface BoxStates {
  connectionOf(facts: { readonly boxId: string }): BoxConnection;
}
