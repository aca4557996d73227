import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { EventSource } from "eventsource";
import { type AgentProcess, createAgentBox } from "./agent-box.ts";
import type { MeasureContext, Measurement, Row } from "./measurement.ts";

const BEAT_MS = 1000;
/** 2.5 beats, and what a timer may be late. */
const NOTICED_MS = 2.5 * BEAT_MS + 50;
const ROUNDS = 5;
const STORM_MS = 10_000;
const PEER = "eventsource alone";

/** A server's and a network's worst, beside the library alone that the agent's link is built on. */
export const linkFaults: Measurement = {
  name: "link-faults",
  limitMs: 6 * 60_000,
  measure: async (context) => [
    await measureHalfOpen(context),
    await measureRefusal(context),
    await measureStorm(context),
  ],
};

type Manner = "beats" | "silent" | "503" | "retry: 0";

/** An event stream that beats, falls silent, refuses, or sends everybody away with `retry: 0`. */
async function openServer() {
  let manner: Manner = "beats";
  let requests = 0;
  let lastByteMs = Number.NaN;
  const open = new Set<ServerResponse>();
  const server = createServer((_request, response) => {
    requests++;
    if (manner === "503") {
      response.writeHead(503).end();
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    if (manner === "retry: 0") {
      response.end("retry: 0\n\n");
      return;
    }
    // A link is well again, and waits as little as at first, when an event has come.
    response.write('data: {"eventType":"snapshot","streams":[]}\n\n');
    open.add(response);
    response.once("close", () => open.delete(response));
    beat(response);
  });
  const beat = (response: ServerResponse) => {
    response.write(`: beat ${BEAT_MS / 1000}\n\n`);
    lastByteMs = performance.now();
  };
  const timer = setInterval(() => {
    if (manner === "beats") for (const response of open) beat(response);
  }, BEAT_MS);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/events`,
    behave: (next: Manner) => {
      manner = next;
    },
    cut: () => {
      for (const response of open) response.destroy();
    },
    requests: () => requests,
    lastByteMs: () => lastByteMs,
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

async function startAgent({ lab }: MeasureContext, name: string, endpoint: string) {
  const box = await createAgentBox({ name, ffmpegPath: "ffmpeg", endpoint }, lab);
  const agent = box.start();
  await lab.until(() => connects(agent) > 0, "the agent connects");
  return { box, agent };
}

function connects(agent: AgentProcess): number {
  return agent.lines.filter(({ text }) => /Connected to SSE endpoint|Reconnected/.test(text)).length;
}

async function openLibrary({ lab }: MeasureContext, url: string) {
  const source = new EventSource(url);
  let errors = 0;
  source.addEventListener("error", () => {
    errors++;
  });
  await lab.until(() => source.readyState === source.OPEN, "eventsource connects");
  return { source, errors: () => errors };
}

async function measureHalfOpen(context: MeasureContext): Promise<Row> {
  const { lab, say, note, isLong } = context;
  say("a server that falls silent");
  await using server = await openServer();
  const { box, agent } = await startAgent(context, "half-open", server.url);
  await using _box = box;
  const samples: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await lab.delay(2 * BEAT_MS + round * 170);
    const from = agent.lines.length;
    server.behave("silent");
    const lost = () => agent.lines.slice(from).find(({ text }) => text.includes("Connection lost"));
    await lab.until(() => lost() !== undefined, "the agent notices");
    samples.push((lost()?.atMs ?? Number.NaN) - server.lastByteMs());
    const before = connects(agent);
    server.behave("beats");
    await lab.until(() => connects(agent) > before, "the agent connects again", { timeoutMs: 65_000 });
  }
  await box.kill("SIGKILL");

  const { source, errors } = await openLibrary(context, server.url);
  server.behave("silent");
  const watchMs = isLong ? 330_000 : 60_000;
  await lab.until(() => errors() > 0, "eventsource notices", { timeoutMs: watchMs, pollMs: 50 }).catch(() => undefined);
  const theirs = performance.now() - server.lastByteMs();
  source.close();
  if (errors() === 0) note(`${PEER}, a connection that falls silent: not noticed in ${watchMs / 1000} s`);
  return {
    what: `half-open connection, a beat every ${BEAT_MS / 1000} s: last byte → noticed`,
    unit: "ms",
    samples,
    bar: { of: "max", limit: NOTICED_MS },
    peers: errors() === 0 ? [] : [{ name: PEER, samples: [theirs] }],
  };
}

async function measureRefusal(context: MeasureContext): Promise<Row> {
  const { lab, say, note } = context;
  say("a server that answers 503 for a while");
  await using server = await openServer();
  const { box, agent } = await startAgent(context, "refusal", server.url);
  await using _box = box;
  const { source } = await openLibrary(context, server.url);
  server.behave("503");
  server.cut();
  await lab.delay(8000);
  const before = connects(agent);
  const servedMs = performance.now();
  server.behave("beats");
  await lab.until(() => connects(agent) > before, "the agent connects again", { timeoutMs: 65_000 });
  const ours = performance.now() - servedMs;
  await lab.delay(30_000);
  const isDeaf = source.readyState === source.CLOSED;
  source.close();
  if (isDeaf) note(`${PEER}, after one 503: closed for good`);
  return {
    what: "eight seconds of 503 are over → connected",
    unit: "ms",
    samples: [ours],
    bar: { of: "max", limit: 60_000 },
  };
}

async function measureStorm(context: MeasureContext): Promise<Row> {
  const { lab, say } = context;
  say("a server that says retry: 0");
  await using server = await openServer();
  const { box } = await startAgent(context, "storm", server.url);
  await using _box = box;
  const countIn = async () => {
    server.behave("retry: 0");
    server.cut();
    const before = server.requests();
    await lab.delay(STORM_MS);
    return (server.requests() - before) / (STORM_MS / 1000);
  };
  const ours = await countIn();
  await box.kill("SIGKILL");
  server.behave("beats");
  const { source } = await openLibrary(context, server.url);
  const theirs = await countIn();
  source.close();
  return {
    what: "requests to a server that says `retry: 0` and hangs up",
    unit: "/s",
    samples: [ours],
    bar: { of: "max", limit: 1 },
    peers: [{ name: PEER, samples: [theirs] }],
  };
}
