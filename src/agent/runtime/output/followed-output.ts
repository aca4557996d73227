/** A session's output on its way into its log. None of it throws. */
export interface FollowedOutput {
  readonly logPath: string;
  /** Takes over what has come; one lap at a time. */
  lap(): Promise<void>;
  /** The session has ended: takes over what is left, an unfinished line included, and lets go. */
  finish(): Promise<void>;
  /** The agent ends, the session goes on: a successor takes over from here. */
  close(): Promise<void>;
  /** The last lines, secrets taken out, those included that are not in the log yet as far as that is known at once. */
  tail(): readonly string[];
  lostBytes(): number;
  failure(): string | undefined;
}
