import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { AppError } from "../base/errors.ts";
import type { Report } from "../contract/report.ts";
import type { ReportDelta } from "../contract/report-delta.ts";

export interface SeenEvent {
  readonly name: string;
  readonly id: string | undefined;
  readonly data: unknown;
}

/** How long an event is waited for that must come: on a machine with much else to do all of it may be needed. */
const PATIENCE_MS = 30_000;

/** One event stream as a client sees it. */
export interface EventClient extends Disposable {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly events: readonly SeenEvent[];
  readonly comments: readonly string[];
  readonly retries: readonly number[];
  /** The first event, from the one at `from` on, that fits. */
  until(fits: (event: SeenEvent) => boolean, limits?: { from?: number; timeoutMs?: number }): Promise<SeenEvent>;
  readonly closed: Promise<void>;
  isOpen(): boolean;
  pause(): void;
  resume(): void;
  close(): void;
}

export async function openEvents(
  url: string,
  given: { readonly token: string; readonly lastEventId?: string | undefined; readonly localAddress?: string },
): Promise<EventClient> {
  const headers = {
    accept: "text/event-stream",
    authorization: `Bearer ${given.token}`,
    ...(given.lastEventId === undefined ? {} : { "last-event-id": given.lastEventId }),
  };
  const local = given.localAddress === undefined ? {} : { localAddress: given.localAddress };
  const { request, response } = await new Promise<{ request: ClientRequest; response: IncomingMessage }>(
    (resolve, reject) => {
      const request = httpRequest(url, { headers, agent: false, ...local }, (response) =>
        resolve({ request, response }),
      );
      request.on("error", reject);
      request.end();
    },
  );
  const events: SeenEvent[] = [];
  const comments: string[] = [];
  const retries: number[] = [];
  const lookers = new Set<() => void>();
  let text = "";
  let isOpen = true;
  const { promise: closed, resolve: onClosed } = Promise.withResolvers<void>();
  const look = () => {
    for (const looker of lookers) looker();
  };
  response.setEncoding("utf8");
  response.on("data", (piece: string) => {
    text += piece;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      takeBlock(text.slice(0, end), { events, comments, retries });
      text = text.slice(end + 2);
    }
    look();
  });
  const onEnd = () => {
    isOpen = false;
    onClosed();
    look();
  };
  response.on("close", onEnd);
  response.on("error", onEnd);
  request.on("error", onEnd);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    events,
    comments,
    retries,
    closed,
    isOpen: () => isOpen,
    pause: () => void response.pause(),
    resume: () => void response.resume(),
    close: () => void request.destroy(),
    [Symbol.dispose]: () => void request.destroy(),
    until: (fits, { from = 0, timeoutMs = PATIENCE_MS } = {}) =>
      new Promise((resolve, reject) => {
        let next = from;
        const stop = () => {
          clearTimeout(timer);
          lookers.delete(looker);
        };
        const looker = () => {
          // Each event is looked at once, however many come.
          let found: SeenEvent | undefined;
          while (found === undefined && next < events.length) {
            const event = events[next++];
            if (event !== undefined && fits(event)) found = event;
          }
          if (found === undefined && isOpen) return;
          stop();
          if (found === undefined) reject(new AppError("unavailable", `closed after ${JSON.stringify(events)}`));
          else resolve(found);
        };
        const timer = setTimeout(() => {
          stop();
          reject(new AppError("timeout", `${timeoutMs} ms went by; received ${JSON.stringify(events.slice(-20))}`));
        }, timeoutMs);
        lookers.add(looker);
        looker();
      }),
  };
}

function takeBlock(
  block: string,
  into: { readonly events: SeenEvent[]; readonly comments: string[]; readonly retries: number[] },
): void {
  let name = "message";
  let id: string | undefined;
  const data: string[] = [];
  for (const line of block.split("\n")) {
    if (line.startsWith(":")) into.comments.push(line.slice(1).trim());
    else if (line.startsWith("retry: ")) into.retries.push(Number(line.slice(7)));
    else if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("id: ")) id = line.slice(4);
    else if (line.startsWith("data: ")) data.push(line.slice(6));
  }
  if (data.length > 0) into.events.push({ name, id, data: JSON.parse(data.join("\n")) });
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: unknown;
}

export function call(
  url: string,
  given: { readonly method?: string; readonly token?: string; readonly body?: unknown; readonly headers?: object },
): Promise<Answer> {
  const text = given.body === undefined ? undefined : JSON.stringify(given.body);
  const headers = {
    accept: "application/json",
    ...(given.token === undefined ? {} : { authorization: `Bearer ${given.token}` }),
    ...(text === undefined ? {} : { "content-type": "application/json" }),
    ...given.headers,
  };
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { method: given.method ?? "GET", headers, agent: false }, (response) => {
      response.setEncoding("utf8");
      let body = "";
      response.on("data", (piece: string) => {
        body += piece;
      });
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: parsed(body) }),
      );
    });
    request.on("error", reject);
    request.end(text);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export function sendReport(origin: string, key: string, report: Report | ReportDelta): Promise<Answer> {
  return call(`${origin}/v1/boxes/${report.boxId}/report`, { method: "POST", token: key, body: report });
}
