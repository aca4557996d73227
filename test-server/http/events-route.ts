import type { ServerResponse } from "node:http";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { isOneLine } from "../../src/hub/events/frame.ts";
import { SSE_HEADERS } from "../../src/hub/events/sse-headers.ts";
import type { ConnectAnswer } from "../faults/active-faults.ts";
import type { Parts } from "../parts.ts";
import type { Visitor } from "../sse/client-room.ts";
import { EVENT_FORMS, type EventForm, eventsOnConnect } from "../sse/set-events.ts";

/** `GET /events` and `GET /v1/boxes/:box/events`: `?form=typed|simple|starts`; the cursor is `Last-Event-ID` or `?lastEventId=`. */
export function registerEventsRoute(app: FastifyInstance, parts: Parts): void {
  const answer = (request: FastifyRequest, reply: FastifyReply, box: string | undefined) => {
    const decision = parts.board.connectAnswer();
    if (decision.kind === "serve" || decision.kind === "silent") {
      serve(parts, { visitor: visitorOf(request, box), reply, decision });
      return;
    }
    parts.log.write("client", `${request.ip} was turned away: ${decision.kind}`);
    turnAway(parts, reply, decision);
  };
  app.get("/events", (request, reply) => answer(request, reply, undefined));
  app.get<{ Params: { box: string } }>("/v1/boxes/:box/events", (request, reply) =>
    answer(request, reply, request.params.box),
  );
  app.get("/elsewhere", (request, reply) => {
    const leaked = request.headers.authorization === undefined ? "without" : "WITH";
    parts.log.write("client", `${request.ip} followed the redirect to another origin, ${leaked} its authorization`);
    reply.hijack();
    reply.raw.writeHead(200, SSE_HEADERS);
    reply.raw.end(": you are elsewhere\n\n");
  });
}

function serve(
  parts: Parts,
  given: {
    readonly visitor: Visitor;
    readonly reply: FastifyReply;
    readonly decision: Extract<ConnectAnswer, { kind: "serve" | "silent" }>;
  },
): void {
  const { visitor, reply, decision } = given;
  reply.hijack();
  const response: ServerResponse = reply.raw;
  response.socket?.setNoDelay(true);
  if (decision.kind === "serve" || decision.headers) {
    response.writeHead(200, SSE_HEADERS);
    response.flushHeaders();
  }
  const catchUp = parts.set.catchUp(visitor.lastEventId);
  const first = decision.kind === "silent" ? [] : eventsOnConnect(visitor.form, catchUp, parts.set.snapshot());
  parts.room.enter(response, visitor, first);
}

function turnAway(
  parts: Parts,
  reply: FastifyReply,
  decision: Exclude<ConnectAnswer, { kind: "serve" | "silent" }>,
): void {
  switch (decision.kind) {
    case "refuse":
      if (decision.retryAfterSeconds !== undefined) reply.header("retry-after", String(decision.retryAfterSeconds));
      reply.code(decision.status);
      if (decision.status === 204 || decision.status === 304) reply.send();
      else reply.send({ error: { code: "unavailable", message: `asked to refuse with ${decision.status}` } });
      return;
    case "html":
      reply.type("text/html; charset=utf-8").send(CAPTIVE_PORTAL);
      return;
    case "redirect":
      reply.redirect(decision.to === "" ? otherName(parts.origin()) : decision.to, decision.status);
  }
}

/** The same server under another origin: `127.0.0.1` and `localhost` are two. */
function otherName(origin: string): string {
  const url = new URL("/elsewhere", origin);
  url.hostname = url.hostname === "localhost" ? "127.0.0.1" : "localhost";
  return url.href;
}

function visitorOf(request: FastifyRequest, box: string | undefined): Visitor {
  const query = new URL(request.url, "http://localhost").searchParams;
  const form = EVENT_FORMS.find((known): known is EventForm => known === query.get("form")) ?? "typed";
  const header = request.headers["last-event-id"];
  const cursor = (typeof header === "string" ? header : undefined) ?? query.get("lastEventId") ?? undefined;
  return {
    address: `${request.ip}:${request.socket.remotePort ?? 0}`,
    box: box ?? query.get("box") ?? undefined,
    form,
    lastEventId: cursor !== undefined && cursor !== "" && isOneLine(cursor) ? cursor : undefined,
    userAgent: request.headers["user-agent"],
    hasAuthorization: request.headers.authorization !== undefined,
  };
}

const CAPTIVE_PORTAL = `<!doctype html>
<html><head><title>Welcome to the free Wi-Fi</title></head>
<body><h1>Please accept the terms to go online</h1><form method="post"><button>Accept</button></form></body></html>
`;
