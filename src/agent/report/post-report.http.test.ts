import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { httpFetch } from "../../base/http-fetch.ts";
import type { Report } from "../../contract/report.ts";
import { postReport } from "./post-report.ts";

const REPORT: Report = {
  version: 1,
  sequence: 1,
  session: "s",
  sentAt: "2026-01-15T10:30:45Z",
  boxId: "north-1",
  bootId: "b",
  agentVersion: "0.1.0",
  verdict: "first",
  applied: {},
  link: {
    state: "off",
    endpoint: "",
    since: "2026-01-15T10:30:45Z",
    attempts: 0,
    connects: 0,
    events: 0,
    badEvents: {},
  },
  workloads: [],
  occurrences: [],
  dropped: 0,
  commandResults: [],
};

describe("posting a report", () => {
  it("uses connections again, reads a bounded answer, and leaves no socket after a timeout", async () => {
    const bodies: string[] = [];
    let connections = 0;
    const closed = new Set<string | undefined>();
    const server = createServer(async (request, response) => {
      let body = "";
      for await (const chunk of request) body += String(chunk);
      bodies.push(body);
      response.on("close", () => closed.add(request.url));
      if (request.url === "/silent") return;
      if (request.url === "/endless") {
        response.writeHead(200);
        const pour = () => {
          while (!response.destroyed && response.write(Buffer.alloc(16_384)));
        };
        response.on("drain", pour);
        pour();
        return;
      }
      response.writeHead(200, { "content-type": "application/json" }).end('{"ok":true}');
    });
    server.on("connection", () => connections++);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const post = (path: string, timeoutMs = 5000) =>
      postReport(
        {
          url: new URL(`http://127.0.0.1:${port}${path}`),
          authorization: "Bearer t",
          report: REPORT,
          timeoutMs,
          signal: new AbortController().signal,
        },
        { fetch: httpFetch, clock: systemClock },
      );
    try {
      for (let count = 0; count < 5; count++) expect(await post("/ok")).toEqual({ isDelivered: true, isBase: false });
      expect(connections).toBeLessThanOrEqual(2);
      expect(bodies).toEqual(Array.from({ length: 5 }, () => JSON.stringify(REPORT)));
      expect(await post("/endless")).toEqual({ isDelivered: true, isBase: false });
      await expect(post("/silent", 100)).rejects.toThrow("no answer within 0.1 s");
      for (let turn = 0; turn < 4000 && closed.size < 3; turn++) await systemClock.delay(5);
      expect(closed).toEqual(new Set(["/ok", "/endless", "/silent"]));
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });
});
