import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { dockerRefusal, startDocker } from "./container-daemon.ts";
import { LISTENER, smallSession } from "./container-engine-world.ts";
import { expectWholeLife } from "./container-session-suite.ts";
import { createSessionWorld, readPort } from "./container-session-world.ts";

test.concurrent("Docker through a hub: a session's whole life, with agent and engine killed in each state, and each fault told", async ({
  skip,
}) => {
  skip(dockerRefusal !== undefined, dockerRefusal);
  await using daemon = await startDocker();
  await expectWholeLife("docker", daemon);
}, 180_000);

test.concurrent("a full disk under agent and engine is told, stops nothing that runs, keeps nobody from being stopped, and is over once there is room", async ({
  skip,
}) => {
  skip(dockerRefusal !== undefined, dockerRefusal);
  await using daemon = await startDocker({ dataMebibytes: 64 });
  const stateDir = join(daemon.dataDirectory, "box");
  await using world = await createSessionWorld("docker", daemon, { stateDir });
  await world.startAgent();
  const sessionOf = (id: string) =>
    smallSession(id, { image: daemon.image, script: LISTENER, ports: [{ port: 8080 }] });
  const asleep = { state: "hibernated", turn: 1 } as const;
  const isOpen = async () =>
    (await world.status()).incidents.some(({ kind, end }) => kind === "disk-full" && end === undefined);
  const [stays, sleeps, goes, comes] = ["stays", "sleeps", "goes", "comes"].map(sessionOf);
  if (stays === undefined || sleeps === undefined || goes === undefined || comes === undefined) return;
  world.server.putStreams(stays, sleeps, goes);
  const before = await world.untilState("stays", "running");
  for (const id of ["sleeps", "goes"]) await world.untilState(id, "running");

  const ballast = join(daemon.dataDirectory, "ballast");
  fill(ballast);
  world.server.putStreams({ ...sleeps, power: asleep });
  expect((await world.untilState("sleeps", "hibernated")).session?.sleep?.depth).toBe("stopped");
  await world.until(isOpen, "the incident is told");
  world.server.set.remove(["goes"]);
  await world.until(async () => (await world.workload("goes")) === undefined, "it is stopped");
  // What was removed has made room.
  fill(ballast);
  await world.killAgent("SIGKILL");
  await world.startAgent();
  const now = await world.untilState("stays", "running");
  expect([now.restarts, now.session?.instance]).toEqual([0, before.session?.instance]);
  expect(await readPort(now.session?.endpoints?.[0]?.hostPort ?? 0)).toBe("here");
  await world.untilState("sleeps", "hibernated");

  rmSync(ballast);
  world.server.putStreams(comes, { ...sleeps, power: { state: "running", turn: 2 } });
  await world.untilState("comes", "running");
  await world.untilState("sleeps", "running");
  await world.until(async () => !(await isOpen()), "the incident is over");
  expect((await world.untilState("stays", "running")).session?.instance).toBe(before.session?.instance);
}, 180_000);

/** To the last byte. */
function fill(path: string): void {
  const file = openSync(path, "a");
  try {
    for (let size = 2 ** 20; size >= 1; size = size === 1 ? 0 : size / 4) {
      try {
        for (;;) writeSync(file, Buffer.alloc(size));
      } catch {
        // Not so much any more.
      }
    }
  } finally {
    closeSync(file);
  }
}
