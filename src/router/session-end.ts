import type { EndReasonName } from "../contract/remote/end-reason.ts";

/** How a session ended at a router. */
export interface SessionEnd {
  readonly reason: EndReasonName;
  /** One sentence for people. */
  readonly message: string;
  /** The side that went first; absent: the router ended it. */
  readonly by?: "operator" | "box";
}
