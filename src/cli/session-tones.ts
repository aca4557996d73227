import type { SessionState } from "../contract/fleet/session.ts";
import type { Tone } from "./paint.ts";

export const SESSION_TONES: Readonly<Record<SessionState, Tone>> = {
  unplaced: "bad",
  pending: "warn",
  starting: "warn",
  running: "good",
  degraded: "warn",
  failing: "bad",
  refused: "bad",
  hibernating: "warn",
  hibernated: "quiet",
  waking: "warn",
  ended: "quiet",
  stopping: "warn",
  lost: "bad",
};
