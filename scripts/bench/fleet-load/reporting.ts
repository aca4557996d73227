import { Agent, request } from "node:http";
import { systemClock, type Timer } from "../../../src/base/clock.ts";
import type { Report } from "../../../src/contract/report.ts";
import type { SimulatedBox } from "./simulated-box.ts";

/** Sends a report of each box every 15 s, spread evenly, and notes how long each took. */
export interface Reporting {
  readonly latenciesMs: number[];
  failed: number;
  stop(): void;
}

const PERIOD_MS = 15_000;
const SOCKETS = 512;

export function startReporting(boxes: readonly SimulatedBox[], port: number): Reporting {
  const agent = new Agent({ keepAlive: true, maxSockets: SOCKETS, maxFreeSockets: SOCKETS });
  const timers = new Set<Timer>();
  const reporting: Reporting = {
    latenciesMs: [],
    failed: 0,
    stop: () => {
      for (const timer of timers) timer.clear();
      timers.clear();
      agent.destroy();
    },
  };
  let sequence = 0;
  const send = (box: SimulatedBox) => {
    const body = JSON.stringify(reportOf(box.id, ++sequence));
    const startedMs = systemClock.monotonicMs();
    const headers = {
      authorization: `Bearer ${box.key}`,
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
    };
    const path = `/v1/boxes/${box.id}/report`;
    const asked = request({ host: "127.0.0.1", port, path, method: "POST", agent, headers }, (response) => {
      response.resume();
      response.on("end", () => {
        if (response.statusCode === 202) reporting.latenciesMs.push(systemClock.monotonicMs() - startedMs);
        else reporting.failed++;
      });
    });
    asked.on("error", () => {
      reporting.failed++;
    });
    asked.end(body);
  };
  const repeat = (box: SimulatedBox, waitMs: number) => {
    const timer = systemClock.timer(waitMs, () => {
      timers.delete(timer);
      if (box.isUp()) send(box);
      repeat(box, PERIOD_MS);
    });
    timers.add(timer);
  };
  for (const [at, box] of boxes.entries()) repeat(box, (at / boxes.length) * PERIOD_MS);
  return reporting;
}

function reportOf(boxId: string, sequence: number): Report {
  const at = new Date(systemClock.wallMs()).toISOString();
  return {
    version: 1,
    sequence,
    session: `session-of-${boxId}`,
    sentAt: at,
    boxId,
    bootId: "boot",
    agentVersion: "0.1.0",
    verdict: "restart",
    applied: { epoch: "x", revision: 1 },
    link: { state: "live", endpoint: "http://hub", since: at, attempts: 0, connects: 1, events: 1, badEvents: {} },
    node: { cpuPercent: 12, memory: { totalBytes: 8e9, usedBytes: 3e9 }, temperatureC: 51 },
    workloads: [
      {
        id: "cam-1",
        kind: "stream",
        description: "rtsp://camera/1 → rtmp://ingest/live/***",
        state: "running",
        pid: 4242,
        generation: 1,
        restarts: 0,
        since: at,
        media: { fps: 25, bitrateKbit: 4000, speed: 1, frames: sequence * 375 },
        cpuPercent: 9,
        rssBytes: 50_000_000,
      },
    ],
    occurrences: [],
    dropped: 0,
    commandResults: [],
  };
}
