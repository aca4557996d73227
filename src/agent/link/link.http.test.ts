import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { httpFetch } from "../../base/http-fetch.ts";
import { createMemoryLog } from "../../base/log.ts";
import { LINK_OPTIONS, STOP } from "./link.fake.ts";
import { createLink } from "./link.ts";

/** Real sockets: what only a real fetch and a real server can show. */

interface Origin extends AsyncDisposable {
  readonly url: string;
  readonly requests: IncomingMessage[];
  /** Connections that are open now. */
  open(): number;
}

async function listen(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<Origin> {
  const requests: IncomingMessage[] = [];
  let open = 0;
  const server = createServer((request, response) => {
    requests.push(request);
    answer(request, response);
  });
  server.on("connection", (socket) => {
    open++;
    socket.on("close", () => open--);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    open: () => open,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function stream(response: ServerResponse, body: string): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write(body);
}

function runLink(endpoint: string, options: Partial<typeof LINK_OPTIONS> = {}) {
  const events: string[] = [];
  const log = createMemoryLog();
  const abort = new AbortController();
  const link = createLink(
    { ...LINK_OPTIONS, endpoint, retryDelayMs: 20, ...options },
    {
      fetch: httpFetch,
      clock: systemClock,
      random: () => 0,
      log,
      token: async () => "secret-token",
      cursor: () => "c.1",
      onEvent: (event) => void events.push(event.kind === "stop" ? event.workloadId : event.kind),
      onCursor: () => undefined,
    },
  );
  const done = link.run(abort.signal);
  return {
    events,
    log,
    link,
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      await done;
    },
  };
}

async function until(isMet: () => boolean, what: string): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + 30_000;
  while (!isMet()) {
    if (systemClock.monotonicMs() > deadlineMs) expect.fail(`waited 30 s for: ${what}`);
    await systemClock.delay(5);
  }
}

describe("link over HTTP", () => {
  it.each([301, 302, 307, 308])(
    "follows a %i without its credential, and dials the first address again",
    async (code) => {
      await using other = await listen((_request, response) => {
        stream(response, STOP("from-other"));
        response.end();
      });
      await using hub = await listen((_request, response) => {
        response.writeHead(code, { location: `${other.url}/elsewhere?x=1` }).end();
      });
      await using world = runLink(`${hub.url}/events`);
      await until(() => other.requests.length >= 2, "two visits to the other origin");
      expect(world.events).toContain("from-other");
      expect(hub.requests.length).toBeGreaterThanOrEqual(2);
      expect(hub.requests[0]?.headers.authorization).toBe("Bearer secret-token");
      for (const request of other.requests) {
        expect(request.headers.authorization).toBeUndefined();
        expect(request.headers["last-event-id"]).toBe("c.1");
      }
    },
  );

  it("keeps its credential on a redirect within the origin, and not after a way out and back", async () => {
    await using other = await listen((_request, response) => {
      response.writeHead(307, { location: `${hub.url}/back` }).end();
    });
    await using hub = await listen((request, response) => {
      if (request.url === "/events") response.writeHead(307, { location: "/inside" }).end();
      else if (request.url === "/inside") response.writeHead(307, { location: `${other.url}/out` }).end();
      else stream(response, STOP("a"));
    });
    await using world = runLink(`${hub.url}/events`);
    await until(() => world.events.length === 1, "the event behind three redirects");
    const authorization = new Map(hub.requests.map((request) => [request.url, request.headers.authorization]));
    expect(authorization.get("/inside")).toBe("Bearer secret-token");
    expect(authorization.get("/back")).toBeUndefined();
  });

  it("ends a circle of redirects and a redirect to another scheme as failed attempts", async () => {
    await using hub = await listen((request, response) => {
      response.writeHead(302, { location: request.url === "/circle" ? "/circle" : "file:///etc/passwd" }).end();
    });
    await using circle = runLink(`${hub.url}/circle`);
    await until(() => circle.link.status().reason !== undefined, "the end of the circle");
    expect(circle.link.status().reason).toBe("more than 10 redirects");
    await using file = runLink(`${hub.url}/file`);
    await until(() => file.link.status().reason !== undefined, "the end of the dial");
    expect(file.link.status().reason).toBe("redirect from http: to file: not followed");
  });

  it("reads a 10 MB event as one bad event and the next one over the same connection", async () => {
    await using hub = await listen((_request, response) => {
      stream(response, "data: ");
      response.write(Buffer.alloc(10 * 1024 * 1024, "x"));
      response.write(`\n\n${STOP("good")}`);
    });
    await using world = runLink(`${hub.url}/events`);
    await until(() => world.events.length === 1, "the good event");
    expect(world.link.status()).toMatchObject({ connects: 1, badEvents: { "too-large": 1 } });
  });

  it("leaves no socket behind when it hangs up on silence, on a wrong answer and at its own end", async () => {
    await using hub = await listen((request, response) => {
      if (hub.requests.length === 1) stream(response, `: beat 1\n${STOP("a")}`);
      else if (hub.requests.length < 4) response.writeHead(200, { "content-type": "text/html" }).write("<html>");
      else stream(response, `: beat 60\n${STOP("b")}`);
      expect(request.method).toBe("GET");
    });
    {
      await using world = runLink(`${hub.url}/events`);
      await until(() => world.events.includes("b"), "the event of the fourth connection");
      expect(world.log.lines.join("\n")).toContain("(no byte for 2.5 s)");
      await until(() => hub.open() === 1, "one open socket");
    }
    await until(() => hub.open() === 0, "no open socket");
  });

  it("leaves no socket behind when a server takes the connection and never answers", async () => {
    await using hub = await listen(() => undefined);
    await using world = runLink(`${hub.url}/events`, { connectTimeoutMs: 50 });
    await until(() => hub.requests.length >= 4, "four dials");
    expect(world.link.status()).toMatchObject({ reason: "no answer within 0.05 s" });
    await until(() => hub.open() <= 1, "at most one open socket");
  });

  it("lives through a server that goes away and comes back", async () => {
    const first = await listen((_request, response) => stream(response, STOP("one")));
    const port = new URL(first.url).port;
    await using world = runLink(`${first.url}/events`);
    await until(() => world.events.length === 1, "the first event");
    await first[Symbol.asyncDispose]();
    await until(() => /ECONNREFUSED/.test(world.link.status().reason ?? ""), "a refused dial");
    const second = createServer((_request, response) => stream(response, STOP("two")));
    await new Promise<void>((resolve) => second.listen(Number(port), "127.0.0.1", resolve));
    try {
      await until(() => world.events.length === 2, "the second event");
      expect(world.log.lines.at(-1)).toBe("[INFO] Reconnected to SSE endpoint");
    } finally {
      second.closeAllConnections();
      second.close();
    }
  });
});
