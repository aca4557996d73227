import { expect, test } from "vitest";
import { podmanRefusal, startPodman } from "./container-daemon.ts";
import { LISTENER, smallSession } from "./container-engine-world.ts";
import { createSessionWorld } from "./container-session-world.ts";

test("sessions on a real Podman run, sleep by depth and wake as they were, across agents that are killed", async ({
  skip,
}) => {
  skip(podmanRefusal !== undefined, podmanRefusal);
  await using daemon = await startPodman();
  await using world = await createSessionWorld("podman", daemon);
  await world.startAgent();
  const ports = [{ port: 8080 }];
  const cold = smallSession("cold", { image: daemon.image, script: LISTENER, ports });
  const like = smallSession("warm", { image: daemon.image, script: LISTENER, ports });
  const warm = { ...like, spec: { ...like.spec, hibernation: "frozen" as const } };
  const sessions = [cold, warm];
  const untilAll = (state: "running" | "hibernated") =>
    Promise.all(sessions.map(({ id }) => world.untilState(id, state)));
  const instances = (all: Awaited<ReturnType<typeof untilAll>>) => all.map(({ session }) => session?.instance);

  world.server.putStreams(...sessions);
  const before = await untilAll("running");
  await world.killAgent("SIGKILL");
  await world.startAgent();
  const adopted = await untilAll("running");
  expect([instances(adopted), adopted.map(({ restarts }) => restarts)]).toEqual([instances(before), [0, 0]]);

  const asleep = { state: "hibernated", turn: 1 } as const;
  world.server.putStreams(...sessions.map((session) => ({ ...session, power: asleep })));
  const depths = (await untilAll("hibernated")).map(({ session }) => session?.sleep?.depth);
  expect(depths).toEqual(["stopped", "frozen"]);
  await world.killAgent("SIGKILL");
  await world.startAgent();
  expect((await untilAll("hibernated")).map(({ session }) => session?.sleep?.depth)).toEqual(depths);

  const awake = { state: "running", turn: 2 } as const;
  world.server.putStreams(...sessions.map((session) => ({ ...session, power: awake })));
  const woken = await untilAll("running");
  expect([instances(woken), woken.map(({ restarts }) => restarts)]).toEqual([instances(before), [0, 0]]);
}, 180_000);
