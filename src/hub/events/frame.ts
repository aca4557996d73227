/** Text of the wire format of server-sent events (WHATWG HTML §9.2). */

export interface SseEvent {
  /** Absent: `message`. */
  readonly event?: string | undefined;
  readonly id?: string | undefined;
  readonly data: string;
}

/** Line ends in `data` become several `data:` lines, as the format demands. */
export function encodeEvent(event: SseEvent): string {
  const lines: string[] = [];
  if (event.event !== undefined) lines.push(`event: ${event.event}`);
  if (event.id !== undefined) lines.push(`id: ${event.id}`);
  for (const line of event.data.split(/\r\n|\r|\n/)) lines.push(`data: ${line}`);
  return `${lines.join("\n")}\n\n`;
}

/** The comment that proves the connection and tells its own period in whole seconds: `: beat 15`. */
export function encodeBeat(periodMs: number): string {
  return `: beat ${Math.ceil(periodMs / 1000)}\n\n`;
}

/** A header or query value must not be able to write a second line into the stream. */
export function isOneLine(text: string): boolean {
  return !/[\r\n\0]/.test(text);
}
