import type { Report } from "../../contract/report.ts";
import { type Workload, workloadSchema } from "../../contract/workload.ts";
import type { Box } from "./box.ts";
import type { ExpectedEntry } from "./expected-set.ts";
import type { Store } from "./store.ts";

/** What tests put into a store. */
export const NOW = Date.parse("2026-01-15T10:30:45Z");
const DAY = 86_400_000;

export function stream(id: string, input = `rtsp://camera/${id}`): ExpectedEntry {
  return { workload: streamWorkload(id, input), desired: "running" };
}

function streamWorkload(id: string, url: string): Workload {
  return workloadSchema.parse({
    kind: "stream",
    id,
    spec: { input: { url }, outputs: [{ url: `rtmp://ingest/live/${id}` }] },
  });
}

export async function enrol(store: Store, boxId: string, labels: Record<string, string> = {}): Promise<Box> {
  const hash = `token-of-${boxId}`;
  const token = { hash, id: hash, createdMs: NOW, expiresMs: NOW + DAY, labels: {}, approve: true };
  await store.enrolmentTokens.create(token, { nowMs: NOW });
  return store.boxes.enrol(
    { tokenHash: hash, boxId, name: `Box ${boxId}`, labels, keyHash: `key-of-${boxId}` },
    { nowMs: NOW },
  );
}

export function reportOf(boxId: string, session: string, sequence: number): Report {
  return {
    version: 1,
    sequence,
    session,
    sentAt: new Date(NOW).toISOString(),
    boxId,
    bootId: "boot-1",
    agentVersion: "1.0.0",
    verdict: "restart",
    applied: {},
    link: { state: "live", endpoint: "x", since: "x", attempts: 0, connects: 1, events: 0, badEvents: {} },
    workloads: [],
    occurrences: [],
    dropped: 0,
    commandResults: [],
  };
}
