import { expect, test } from "vitest";
import { type AgentWorld, createAgentWorld } from "../../test-server/agent-world.ts";
import { type OneSessionCamera, startOneSessionCamera } from "../../test-server/one-session-camera.ts";
import type { StreamWorkload } from "../contract/workload.ts";

function soundOf(camera: OneSessionCamera, world: AgentWorld, [id, key]: readonly [string, string]): StreamWorkload {
  const outputs = [{ url: `${world.server.rtmp?.url}/${key}` }];
  const audio = { encoder: "aac", sampleRateHz: 44_100 };
  return { kind: "stream", id, spec: { input: { url: camera.url }, outputs, video: "none", audio } };
}

test("two streams take turns at a camera that has shown that it allows one session", async () => {
  await using camera = await startOneSessionCamera({ holdMs: 2000 });
  await using world = await createAgentWorld();
  await world.startAgent();
  world.server.putStreams(soundOf(camera, world, ["cam-1", "one"]));
  await world.until(async () => (await world.workload("cam-1"))?.state === "running", "cam-1 has the camera");

  world.server.putStreams(soundOf(camera, world, ["cam-2", "two"]));
  const waiting = await world.until(async () => {
    const found = await world.workload("cam-2");
    return found?.waitsFor === undefined ? undefined : found;
  }, "cam-2 is turned away and waits");
  expect(waiting).toMatchObject({
    state: "waiting",
    waitsFor: { holder: "cam-1" },
    lastExit: { class: "camera-busy" },
  });
  expect(waiting.lastExit?.evidence).toContain("453");
  expect(waiting.cause).toMatch(/^the camera rtsp:.* serves one at a time, and cam-1 has it$/);
  expect(camera.turnedAway).toBe(1);
  expect((await world.workload("cam-1"))?.restarts).toBe(0);

  world.server.set.remove(["cam-1"]);
  const after = await world.until(
    async () => {
      const found = await world.workload("cam-2");
      return found?.state === "running" ? found : undefined;
    },
    "cam-2 has it",
    40_000,
  );
  // Its start was due when the camera was free of cam-1, but for the session that the camera forgot two seconds later.
  expect(after.restarts).toBeLessThanOrEqual(3);
}, 90_000);

test("a stream of such a camera that changes its key is stopped first, after one attempt beside itself", async () => {
  await using camera = await startOneSessionCamera();
  await using world = await createAgentWorld();
  await world.startAgent();
  world.server.putStreams(soundOf(camera, world, ["cam-1", "one"]));
  await world.until(async () => (await world.workload("cam-1"))?.state === "running", "cam-1 has the camera");
  world.server.putStreams(soundOf(camera, world, ["cam-1", "two"]));
  await world.until(
    async () => {
      const found = await world.workload("cam-1");
      return found?.state === "running" && (world.server.rtmp?.mediaBytes("two") ?? 0) > 0;
    },
    "the new key is published",
    40_000,
  );
  expect(camera.turnedAway).toBe(1);
  expect(camera.sessions).toBe(2);
  expect(world.agent()?.output()).toMatch(/Update of cam-1 failed: exit 1, camera-busy/);
}, 90_000);

test("streams of a camera that its spec calls exclusive never meet there", async () => {
  await using camera = await startOneSessionCamera();
  await using world = await createAgentWorld();
  await world.startAgent();
  const exclusive = ([id, key]: readonly [string, string]): StreamWorkload => {
    const workload = soundOf(camera, world, [id, key]);
    return { ...workload, spec: { ...workload.spec, input: { ...workload.spec.input, exclusive: true } } };
  };
  world.server.putStreams(exclusive(["cam-1", "one"]), exclusive(["cam-2", "two"]));
  await world.until(async () => (await world.workload("cam-1"))?.state === "running", "cam-1 has the camera");
  expect(await world.workload("cam-2")).toMatchObject({
    state: "waiting",
    generation: 0,
    waitsFor: { holder: "cam-1" },
  });
  world.server.putStreams(exclusive(["cam-1", "three"]));
  await world.until(() => (world.server.rtmp?.mediaBytes("three") ?? 0) > 0, "cam-1 changes its key", 40_000);
  expect(camera.turnedAway).toBe(0);
  expect(camera.sessions).toBe(2);
  expect((await world.workload("cam-2"))?.generation).toBe(0);
}, 90_000);
