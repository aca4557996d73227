import type { FastifyInstance } from "fastify";
import { AppError } from "../../src/base/errors.ts";
import { encodeEvent, isOneLine } from "../../src/hub/events/frame.ts";
import type { Parts } from "../parts.ts";

export interface SendEventAnswer {
  readonly success: true;
  readonly message: string;
  readonly clients: number;
}

/**
 * `POST /send-event`: one event to everybody who is connected; the expected set stays as it is. The body is
 * - `{"raw": "data: …\n\n"}` (or plain text): these bytes, whatever they are;
 * - `{"event?", "id?", "data"}`: one event, its data as text or as JSON;
 * - any other JSON, such as `{"eventType":"start",…}`: the data of one event.
 */
export function registerSendEventRoute(app: FastifyInstance, parts: Parts): void {
  app.addContentTypeParser("text/plain", { parseAs: "string" }, (_request, body, done) => done(null, { raw: body }));
  app.post("/send-event", (request): SendEventAnswer => {
    const text = textToSend(request.body);
    const clients = parts.room.broadcast(() => [Buffer.from(text)]);
    parts.log.write(
      "event",
      `Sent by hand to ${clients}: ${text.length > 300 ? `${text.slice(0, 300)}…` : text.trimEnd()}`,
    );
    return { success: true, message: `Event sent to ${clients} ${clients === 1 ? "client" : "clients"}`, clients };
  });
}

/** The bytes on the wire for a body. Throws `invalid`. */
export function textToSend(body: unknown): string {
  if (body === undefined || body === null) {
    throw new AppError("invalid", 'body: nothing given; {"raw"}, {"event","id","data"} or any JSON is allowed');
  }
  if (typeof body !== "object" || Array.isArray(body)) return encodeEvent({ data: JSON.stringify(body) });
  if ("raw" in body) {
    if (typeof body.raw !== "string") throw new AppError("invalid", "raw: must be text", { field: "raw" });
    return body.raw;
  }
  if (!("data" in body) || "eventType" in body) return encodeEvent({ data: JSON.stringify(body) });
  return encodeEvent({
    event: optionalLine("event", "event" in body ? body.event : undefined),
    id: optionalLine("id", "id" in body ? body.id : undefined),
    data: typeof body.data === "string" ? body.data : (JSON.stringify(body.data) ?? ""),
  });
}

function optionalLine(field: string, value: unknown): string | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value !== "string" || !isOneLine(value)) {
    throw new AppError("invalid", `${field}: ${JSON.stringify(value)} given, one line of text allowed`, { field });
  }
  return value;
}
