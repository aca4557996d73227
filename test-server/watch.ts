import { systemClock } from "../src/base/clock.ts";
import type { HubWorld } from "./hub-world.ts";
import { boxOf } from "./tour.ts";

const LOOK_MS = 500;

/** Says each thing about agents, streams and received media when it is first seen, and again when it has changed. */
export async function watchWorld(world: HubWorld, say: (line: string) => void, signal: AbortSignal): Promise<void> {
  const seen = new Map<string, string>();
  const note = (topic: string, text: string) => {
    if (seen.get(topic) === text) return;
    seen.set(topic, text);
    say(text);
  };
  while (!signal.aborted) {
    await look(world, note);
    await systemClock.delay(LOOK_MS, signal).catch(() => undefined);
  }
}

async function look(hubWorld: HubWorld, note: (topic: string, text: string) => void): Promise<void> {
  const { world } = hubWorld;
  const box = await boxOf(hubWorld).catch(() => undefined);
  note("hub", box === undefined ? "no hub answers" : `the hub sees the box ${box.id} ${box.connection}`);
  const status = await world.status().catch(() => undefined);
  note(
    "agent",
    status === undefined ? "no agent answers" : `agent pid ${status.pid} answers, its link is ${status.link.state}`,
  );
  for (const { id, kind, state, pid, restarts, cause, description } of status?.workloads ?? []) {
    const process = pid === undefined ? "no process" : `pid ${pid}`;
    const why = cause === undefined || state === "running" ? "" : `: ${cause}`;
    note(`workload ${id}`, `${kind} ${id} is ${state} (${process}, ${restarts} restarts)${why}   ${description}`);
  }
  for (const { key, video, connects } of world.server.rtmp?.publishers() ?? []) {
    if (video === undefined) continue;
    const size = `${video.codec} ${video.width}x${video.height}`;
    note(
      `media ${key}`,
      `RTMP receives ${key}: ${size}, ${connects} ${connects === 1 ? "connect" : "connects"} so far`,
    );
  }
}
