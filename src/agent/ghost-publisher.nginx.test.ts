import { spawn } from "node:child_process";
import { expect, test } from "vitest";
import { createAgentWorld } from "../../test-server/agent-world.ts";
import { nginxRtmpRefusal, startNginxRtmp } from "../../test-server/nginx-rtmp.ts";
import type { Workload } from "../contract/workload.ts";

const BARS = "testsrc2=size=160x90:rate=5";

test.skipIf(nginxRtmpRefusal !== undefined)(
  `a key that a ghost still holds is waited for, not hammered, and taken when the ghost has gone${nginxRtmpRefusal === undefined ? "" : ` (${nginxRtmpRefusal})`}`,
  async () => {
    await using nginx = await startNginxRtmp();
    await using world = await createAgentWorld();
    const url = `${nginx.url}/cam-1`;
    const encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "5", "-f", "flv"];
    const args = ["-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", BARS, ...encoder, "-progress", "pipe:1", url];
    const ghost = spawn("ffmpeg", args, { stdio: ["ignore", "pipe", "ignore"] });
    try {
      let progress = "";
      ghost.stdout.on("data", (text: Buffer) => {
        progress = `${progress}${text}`.slice(-2000);
      });
      await world.until(() => /total_size=[1-9]/.test(progress), "the ghost publishes");
      await world.startAgent();
      const stream: Workload = {
        kind: "stream",
        id: "cam-1",
        spec: { input: { url: "test://bars?size=160x90&fps=5" }, outputs: [{ url }], audio: "none" },
      };
      world.server.putStreams(stream);

      const waiting = await world.until(async () => {
        const found = await world.workload("cam-1");
        return found?.state === "waiting" && found.lastExit !== undefined ? found : undefined;
      }, "the key is refused");
      expect(waiting.lastExit).toMatchObject({ class: "already-publishing" });
      expect(waiting.nextStartInSeconds).toBeGreaterThan(17);
      expect(waiting.nextStartInSeconds).toBeLessThan(21);
      expect(waiting.generation).toBe(1);

      ghost.kill("SIGKILL");
      const back = await world.until(
        async () => {
          const found = await world.workload("cam-1");
          return found?.state === "running" ? found : undefined;
        },
        "the stream gets in",
        30_000,
      );
      expect(back.generation).toBe(2);
    } finally {
      ghost.kill("SIGKILL");
    }
  },
  90_000,
);
