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
  const runs = (all: Awaited<ReturnType<typeof untilAll>>) =>
    all.map(({ restarts, session }) => ({ restarts, instance: session?.instance }));

  world.server.putStreams(...sessions);
  const before = runs(await untilAll("running"));
  await world.killAgent("SIGKILL");
  await world.startAgent();
  expect(runs(await untilAll("running"))).toEqual(before);

  const asleep = { state: "hibernated", turn: 1 } as const;
  world.server.putStreams(...sessions.map((session) => ({ ...session, power: asleep })));
  const depths = (await untilAll("hibernated")).map(({ session }) => session?.sleep?.depth);
  expect(depths).toEqual(["stopped", "frozen"]);
  await world.killAgent("SIGKILL");
  await world.startAgent();
  expect((await untilAll("hibernated")).map(({ session }) => session?.sleep?.depth)).toEqual(depths);

  const awake = { state: "running", turn: 2 } as const;
  world.server.putStreams(...sessions.map((session) => ({ ...session, power: awake })));
  const [first, second] = before;
  expect(runs(await untilAll("running"))).toEqual([{ ...first, restarts: 0 }, second]);
}, 180_000);
