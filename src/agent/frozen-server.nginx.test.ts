import { expect, test } from "vitest";
import { createAgentWorld } from "../../test-server/agent-world.ts";
import { makeClip } from "../../test-server/clip.ts";
import { nginxRtmpRefusal, startNginxRtmp } from "../../test-server/nginx-rtmp.ts";
import { systemClock } from "../base/clock.ts";
import type { Workload } from "../contract/workload.ts";

/** High enough to fill the buffers between FFmpeg and a server that does not read within a few seconds. */
const BITRATE_KBIT = 8000;

test.skipIf(nginxRtmpRefusal !== undefined)(
  `a server that freezes is found within 10 s, its stream comes back when it thaws, and a stop meanwhile ends within 10 s${nginxRtmpRefusal === undefined ? "" : ` (${nginxRtmpRefusal})`}`,
  async () => {
    await using clip = await makeClip({ seconds: 3, size: "320x180", fps: 25, bitrateKbit: BITRATE_KBIT });
    await using nginx = await startNginxRtmp();
    await using world = await createAgentWorld({ agentArguments: ["--policy-file-roots", clip.directory] });
    const frames = async (id: string) => (await world.workload(id))?.media?.frames ?? 0;
    const agent = await world.startAgent();
    const copy = (id: string): Workload => {
      const outputs = [{ url: `${nginx.url}/${id}` }];
      return { kind: "stream", id, spec: { input: { url: clip.path, loop: true }, outputs, audio: "none" } };
    };
    world.server.putStreams(copy("kept"), copy("stopped"));
    for (const id of ["kept", "stopped"]) {
      await world.until(async () => (await frames(id)) > 50, `${id} streams`);
    }
    const [kept, stopped] = [await world.workload("kept"), await world.workload("stopped")];
    expect(kept?.media?.bitrateKbit).toBeGreaterThan(BITRATE_KBIT * 0.7);

    nginx.signal("SIGSTOP");
    /** When the counters of the stream last moved: they go on until the buffers are full. */
    let moved = { frames: 0, atMs: 0 };
    await world.until(async () => {
      const now = await frames("kept");
      if (now !== moved.frames) moved = { frames: now, atMs: systemClock.monotonicMs() };
      return systemClock.monotonicMs() - moved.atMs > 1000;
    }, "the counters stand still");

    world.server.set.remove(["stopped"]);
    const stopAtMs = systemClock.monotonicMs();
    const ended = world
      .until(() => !world.workloadPids().includes(stopped?.pid ?? -1), "the stopped stream is gone", 15_000)
      .then(() => systemClock.monotonicMs() - stopAtMs);
    await world.until(() => agent.output().includes("kept: peer-stalled: "), "the stall is found");
    expect(systemClock.monotonicMs() - moved.atMs).toBeLessThan(10_000);
    expect((await world.workload("kept"))?.state).toMatch(/degraded|stalled|stopping/);
    expect(await ended).toBeLessThan(10_000);
    // FFmpeg exits 123 at the fourth signal that it can catch.
    const stopLine = new RegExp(`Stopped stopped \\(pid ${stopped?.pid}, (exit 255|killed by SIGKILL)\\)`);
    await world.until(() => stopLine.test(agent.output()), "the stop is told with its exit");

    await world.until(async () => (await world.workload("kept"))?.pid !== kept?.pid, "the stalled process is replaced");
    nginx.signal("SIGCONT");
    const back = await world.until(
      async () => {
        const found = await world.workload("kept");
        return found?.state === "running" && found.pid !== kept?.pid ? found : undefined;
      },
      "the stream is back",
      40_000,
    );
    expect(back.lastExit?.code).not.toBe(123);
    expect(agent.output()).toMatch(/kept ended \(.* unacknowledged by .*\), next start in/);
  },
  120_000,
);
