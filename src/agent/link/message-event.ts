/**
 * What the SSE client needs of `MessageEvent`. The build puts it in place of the global one, whose first use loads Node's whole
 * HTTP client (`scripts/build.ts`).
 */
export class MessageEvent extends Event {
  readonly data: unknown;
  readonly origin: string;
  readonly lastEventId: string;

  constructor(type: string, { data, origin = "", lastEventId = "" }: MessageEventInit = {}) {
    super(type);
    this.data = data;
    this.origin = origin;
    this.lastEventId = lastEventId;
  }
}
