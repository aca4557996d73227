import { expect, test } from "vitest";
import { createTunnelPair } from "../../test-server/tunnel-pair.ts";

test("a stream through a tunnel waits for it, fails for nothing while it is down, and goes on with it", async () => {
  await using pair = await createTunnelPair({ security: "psk", source: "rtmp" });
  await Promise.all([pair.producer.startAgent(), pair.consumer.startAgent()]);
  const { consumer, producer } = pair;
  consumer.server.putStreams({
    kind: "stream",
    id: "cam-1",
    spec: {
      input: { url: "test://bars?size=160x90&fps=5" },
      outputs: [{ url: `rtmp://127.0.0.1:${pair.entries[0]}/live/cam-1` }],
      audio: "none",
      via: "t-1",
    },
  });
  const waits = async (holder: string) => {
    const found = await consumer.workload("cam-1");
    return found?.pid === undefined && found?.waitsFor?.holder === holder ? found : undefined;
  };
  expect(await consumer.until(() => waits("t-1"), "it waits")).toMatchObject({
    state: "waiting",
    generation: 0,
    waitsFor: { what: "tunnel t-1" },
    cause: "it goes through tunnel t-1, which has no end on this box",
  });
  await pair.link();
  await pair.untilUp();
  await producer.server.rtmp?.untilPublishing("cam-1", AbortSignal.timeout(30_000));
  await consumer.until(async () => (await consumer.workload("cam-1"))?.state === "running", "its media flows", 30_000);

  producer.server.set.remove(["t-1.producer"]);
  const waiting = await consumer.until(() => waits("t-1.consumer"), "it waits again", 40_000);
  expect(waiting.cause).toMatch(/^it goes through tunnel t-1, which is not up: sluice explain t-1\.consumer says why/);
  const end = await consumer.until(async () => {
    const found = await consumer.workload("t-1.consumer");
    return found?.state === "degraded" ? found : undefined;
  }, "health has seen that it is not up");
  expect(end).toMatchObject({ fault: "unproven", restarts: 0, tunnel: { phase: "degraded" } });
  await pair.link();
  await pair.untilUp(30_000);
  await consumer.until(async () => (await consumer.workload("cam-1"))?.state === "running", "it goes on", 30_000);
  // Once when the connection broke, if that was seen before the tunnel's loss, and once when it came back.
  expect((await consumer.workload("cam-1"))?.restarts).toBeLessThanOrEqual(2);
}, 150_000);
