import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type AgentWorld, createAgentWorld } from "../../test-server/agent-world.ts";
import { type Clip, makeClip } from "../../test-server/clip.ts";
import { systemClock } from "../base/clock.ts";
import type { Workload } from "../contract/workload.ts";

let clip: Clip;
beforeAll(async () => {
  clip = await makeClip({ seconds: 4, size: "160x90", fps: 10 });
});
afterAll(() => clip[Symbol.asyncDispose]());

const createWorld = (...agentArguments: string[]) =>
  createAgentWorld({ agentArguments: ["--policy-file-roots", clip.directory, ...agentArguments] });

function copyTo(url: string, id = "cam-1"): Workload {
  return { kind: "stream", id, spec: { input: { url: clip.path, loop: true }, outputs: [{ url }], audio: "none" } };
}

const urlOf = (world: AgentWorld, key: string) => `${world.server.rtmp?.url}/${key}`;

/** Looks at the receiver all the time: is there a moment in which neither key has a publisher with media? */
function watchKeys(world: AgentWorld, keys: readonly string[]) {
  const life = new AbortController();
  let looks = 0;
  /** What was seen then, and when. */
  const bare: string[] = [];
  const beganMs = systemClock.monotonicMs();
  const look = async () => {
    const seen = new Map<string, number>();
    while (!life.signal.aborted) {
      const publishers = world.server.rtmp?.publishers() ?? [];
      const isServed = keys.some((key) => {
        const found = publishers.find((one) => one.key === key);
        const before = seen.get(key) ?? 0;
        if (found?.publishing !== true) seen.set(key, found?.mediaBytes ?? 0);
        return found?.publishing === true && found.mediaBytes > before;
      });
      looks++;
      if (!isServed) bare.push(describeLook(systemClock.monotonicMs() - beganMs, publishers));
      await systemClock.delay(10, life.signal).catch(() => undefined);
    }
  };
  const looking = look();
  return {
    end: async () => {
      life.abort();
      await looking;
      return { looks, bare };
    },
  };
}

function describeLook(
  ms: number,
  publishers: readonly { readonly key: string; readonly publishing: boolean; readonly mediaBytes: number }[],
): string {
  const all = publishers.map(
    (one) => `${one.key} ${one.publishing ? "publishes" : "is gone"}, ${one.mediaBytes} bytes`,
  );
  return `after ${Math.round(ms)} ms: ${all.join("; ")}`;
}

/** Takes connections, and never says a word. */
async function startSilentServer() {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" ? address?.port : undefined,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

const settledOn = async (world: AgentWorld, key: string, timeoutMs = 40_000) => {
  await world.until(
    () => world.server.rtmp?.publishers().find((one) => one.key === key && one.publishing),
    `${key} is published`,
    timeoutMs,
  );
  return world.until(
    async () => {
      const found = await world.workload("cam-1");
      return found?.state === "running" && found.update === undefined && world.workloadPids().length === 1
        ? found
        : undefined;
    },
    "one process runs, and nothing is being updated",
    timeoutMs,
  );
};

// One after the other: each holds a stream to a moment.
describe("a stream that is changed while it runs", () => {
  test("changes its key without a moment in which the receiver has neither the old media nor the new", async () => {
    await using world = await createWorld();
    await world.startAgent();
    world.server.putStreams(copyTo(urlOf(world, "key-a")));
    await world.until(() => (world.server.rtmp?.mediaBytes("key-a") ?? 0) > 0, "the first key is published");
    const before = await settledOn(world, "key-a");

    const watch = watchKeys(world, ["key-a", "key-b"]);
    world.server.putStreams(copyTo(urlOf(world, "key-b")));
    const proving = await world.until(async () => {
      const found = await world.workload("cam-1");
      return found?.update?.state === "proving" && found.update.pid !== undefined ? found : undefined;
    }, "the new process runs beside the old one");
    expect(proving).toMatchObject({ pid: before.pid, state: "running", generation: before.generation });
    const after = await settledOn(world, "key-b");
    const { looks, bare } = await watch.end();

    expect(looks).toBeGreaterThan(100);
    expect(bare).toEqual([]);
    expect(after.pid).toBe(proving.update?.pid);
    expect(after.generation).toBe(before.generation + 1);
    expect(after.proof?.gapCount).toBe(before.proof?.gapCount);
    expect([world.server.rtmp?.connects("key-a"), world.server.rtmp?.connects("key-b")]).toEqual([1, 1]);
    expect(world.server.rtmp?.publishers().find(({ key }) => key === "key-a")?.publishing).toBe(false);
    expect(world.agent()?.output()).toMatch(
      /Updated cam-1: the media of generation 2 .* is proved, stopping generation 1/,
    );
  }, 90_000);

  test("goes on with its old settings when the new ones lead nowhere, says so, and takes the next good wish at once", async () => {
    await using world = await createWorld("--streams-update-deadline-seconds", "8");
    await world.startAgent();
    world.server.putStreams(copyTo(urlOf(world, "key-a")));
    const before = await settledOn(world, "key-a");
    world.server.putStreams(copyTo("rtmp://127.0.0.1:9/live/nowhere"));

    const failed = await world.until(async () => {
      const found = await world.workload("cam-1");
      return found?.update?.state === "failed" ? found : undefined;
    }, "the update has failed");
    expect(failed).toMatchObject({ state: "degraded", pid: before.pid });
    expect(failed.cause).toMatch(/^update failed: exit 1, network: .*Connection refused/);
    await world.until(
      () => /Update of cam-1 failed.*Update of cam-1 failed/s.test(world.agent()?.output() ?? ""),
      "it is tried again",
    );
    expect(world.server.rtmp?.connects("key-a")).toBe(1);

    const silent = await startSilentServer();
    try {
      world.server.putStreams(copyTo(`rtmp://127.0.0.1:${silent.port}/live/silent`));
      const unproved = await world.until(async () => {
        const found = await world.workload("cam-1");
        return found?.update?.message.includes("in time") === true ? found : undefined;
      }, "the update to a server that says nothing has failed");
      expect(unproved).toMatchObject({ state: "degraded", pid: before.pid });
      expect(unproved.update?.message).toContain("update failed: it made no media in time");
    } finally {
      silent.close();
    }

    world.server.putStreams(copyTo(urlOf(world, "key-b")));
    const after = await settledOn(world, "key-b");
    expect(after.pid).not.toBe(before.pid);
    expect(after.proof?.gapCount).toBe(before.proof?.gapCount);
  }, 150_000);

  test("is updated right when its agent is killed at any moment of it", async () => {
    await using world = await createWorld();
    await world.startAgent();
    world.server.putStreams(copyTo(urlOf(world, "key-0")));
    await settledOn(world, "key-0");
    const delays = process.env["SLUICE_TEST_LONG"] === "1" ? [20, 150, 600, 2000, 3600, 4200] : [20, 2000, 4200];
    let said = "";
    const hear = () => {
      said += world.agent()?.output() ?? "";
    };
    for (const [round, delayMs] of delays.entries()) {
      const [old, next] = [`key-${round}`, `key-${round + 1}`];
      const watch = watchKeys(world, [old, next]);
      world.server.putStreams(copyTo(urlOf(world, next)));
      await systemClock.delay(delayMs);
      hear();
      await world.killAgent("SIGKILL");
      await world.startAgent();
      await settledOn(world, next);
      hear();
      const { bare } = await watch.end();
      // What the agents did tells why.
      expect(bare, `killed after ${delayMs} ms; the agents said:\n${said}`).toEqual([]);
      expect(
        world.server.rtmp
          ?.publishers()
          .filter(({ publishing }) => publishing)
          .map(({ key }) => key),
      ).toEqual([next]);
    }
    expect(said).toContain(", to take over from it");
  }, 180_000);

  test("is gone, with all its processes, when it is removed in the middle of an update", async () => {
    await using world = await createWorld();
    await world.startAgent();
    world.server.putStreams(copyTo(urlOf(world, "key-a")));
    await settledOn(world, "key-a");
    world.server.putStreams(copyTo(urlOf(world, "key-b")));
    await world.until(() => world.workloadPids().length === 2, "both run");
    world.server.set.remove(["cam-1"]);
    await world.until(() => world.workloadPids().length === 0, "none runs");
    await world.until(async () => (await world.workload("cam-1")) === undefined, "it is forgotten");
  }, 60_000);

  test("is stopped first where the box wants it so", async () => {
    await using world = await createWorld("--streams-update", "replace");
    await world.startAgent();
    world.server.putStreams(copyTo(urlOf(world, "key-a")));
    await settledOn(world, "key-a");
    const agent = world.agent();
    world.server.putStreams(copyTo(urlOf(world, "key-b")));
    await settledOn(world, "key-b");
    expect(agent?.output()).toContain("to start it with its new settings");
    expect(agent?.output()).not.toContain("Updated cam-1");
  }, 60_000);
});

test.concurrent("of two streams for one publishing point the first keeps it, and the other follows when it is gone", async () => {
  await using world = await createWorld();
  await world.startAgent();
  const url = urlOf(world, "shared");
  world.server.putStreams(copyTo(url, "cam-1"), copyTo(`${url}?other=spelling`, "cam-2"));
  await settledOn(world, "shared");
  const waiting = await world.until(() => world.workload("cam-2"), "cam-2 is known");
  expect(waiting).toMatchObject({ state: "waiting", generation: 0, waitsFor: { holder: "cam-1" } });
  expect(waiting.cause).toMatch(/^conflict: cam-1 and cam-2 both write to .*\/live\/\*\*\*/);
  expect(world.server.rtmp?.connects("shared")).toBe(1);

  world.server.set.remove(["cam-1"]);
  await world.until(async () => (await world.workload("cam-2"))?.state === "running", "cam-2 has it");
  expect(world.server.rtmp?.connects("shared")).toBe(2);
});
