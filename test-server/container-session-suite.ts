import { expect } from "vitest";
import type { SessionView } from "../src/contract/fleet/session.ts";
import type { SessionWorkload } from "../src/contract/workload.ts";
import type { ContainerDaemon } from "./container-daemon.ts";
import { LISTENER, smallSession } from "./container-engine-world.ts";
import { createHubContainerWorld, type HubContainerWorld, readPort } from "./container-session-world.ts";
import { freePort } from "./free-port.ts";

/** Says on port 8080 how often it was started with these files, and in this container. */
const APPLICATION = [
  "/usr/bin/perl",
  "-e",
  `use IO::Socket::INET; $SIG{TERM} = sub { exit 0 };
for $f ("/kept/n", "/tmp/n") { open(F, ">>$f"); print F "x"; close F }
$n = (-s "/kept/n") . " " . (-s "/tmp/n");
$s = IO::Socket::INET->new(LocalPort => 8080, Listen => 5, ReuseAddr => 1) or die $!;
while ($c = $s->accept) { print $c $n; close $c }`,
];

const isLong = process.env["SLUICE_TEST_LONG"] === "1";
const isIn =
  (...states: readonly SessionView["state"][]) =>
  (view: SessionView) =>
    states.includes(view.state);
const portOf = ({ session }: SessionView) => session?.endpoints?.[0]?.hostPort ?? 0;
const runOf = ({ session, workload }: SessionView) => ({
  instance: session?.instance,
  restarts: workload?.restarts,
});

/** A session's life through a hub and an agent, with its engine and its agent killed in each state: what Docker and Podman must do alike. */
export async function expectWholeLife(platform: "docker" | "podman", daemon: ContainerDaemon): Promise<void> {
  await using world = await createHubContainerWorld(platform, daemon);
  const { box, create, post, until } = world;
  const ofKind = (id: string, hibernation: "stopped" | "frozen"): SessionWorkload => {
    const volumes = [{ name: "kept", path: "/kept", onStop: "delete" as const }];
    const session = smallSession(id, { image: daemon.image, script: APPLICATION, ports: [{ port: 8080 }], volumes });
    return { ...session, spec: { ...session.spec, hibernation } };
  };
  const ids = ["steady", "cold", "warm"] as const;
  const each = <Result>(work: (id: (typeof ids)[number]) => Promise<Result>) => Promise.all(ids.map(work));
  const untilAll = (steady: SessionView["state"], others: SessionView["state"]) =>
    each((id) => until(id, isIn(id === "steady" ? steady : others), `${steady}, and the others ${others}`));
  const said = (views: readonly SessionView[]) => Promise.all(views.map((view) => readPort(portOf(view))));

  await each((id) => create(ofKind(id, id === "warm" ? "frozen" : "stopped")));
  const first = await untilAll("running", "running");
  expect(await said(first)).toEqual(["1 1", "1 1", "1 1"]);
  await post("steady", "touch");

  // The agent dies while they run, and while one runs and two sleep, each by its depth.
  await box.killAgent("SIGKILL");
  await box.startAgent();
  await each((id) => box.untilState(id, "running"));
  expect((await untilAll("running", "running")).map(runOf)).toEqual(first.map(runOf));
  await Promise.all((["cold", "warm"] as const).map((id) => post(id, "hibernate")));
  const asleep = await untilAll("running", "hibernated");
  expect(asleep.map(({ session }) => session?.sleep?.depth)).toEqual([undefined, "stopped", "frozen"]);
  expect(asleep[1]?.session?.memoryBytes ?? 0).toBe(0);
  await box.killAgent("SIGKILL");
  await box.startAgent();
  await Promise.all([box.untilState("steady", "running"), box.untilState("cold", "hibernated")]);
  expect((await box.untilState("warm", "hibernated")).session?.sleep?.depth).toBe("frozen");

  // The engine dies in each of these states. Docker's next one ends what it finds; Podman's never knew that it was gone.
  await daemon.kill();
  await box.until(() => box.agent()?.output().includes("nothing listens there"), "the agent has noticed");
  await daemon.start();
  const back = await untilAll("running", "hibernated");
  expect(back[1]?.session?.sleep?.depth).toBe("stopped");
  await Promise.all((["cold", "warm"] as const).map((id) => post(id, "wake")));
  const counts = platform === "docker" ? ["2 2", "2 2", "2 2"] : ["1 1", "2 2", "1 1"];
  // What the engine's death has ended may be told as running for a moment yet.
  await expect.poll(async () => said(await untilAll("running", "running")), { timeout: 60_000 }).toEqual(counts);
  const woken = await untilAll("running", "running");
  expect(woken.map(({ session }) => session?.instance)).toEqual(first.map(({ session }) => session?.instance));

  await each((id) => world.hub.call("DELETE", `/v1/sessions/${id}`));
  await each((id) => world.untilGone(id));
  const left = async (kind: string) => JSON.stringify(await daemon.call("GET", `/v1.41/${kind}`));
  for (const kind of ["containers/json?all=true", "networks", "volumes"]) {
    await expect.poll(() => left(kind)).not.toMatch(/sluice-(?:steady|cold|warm)/);
  }
  // Podman takes seconds for each call: there the short form leaves to the suite of engines what follows.
  if (platform === "docker" || isLong) await expectFaultsTold(platform, { daemon, world });
}

/** What cannot run is told at the hub with its reason, and holds up nobody. */
async function expectFaultsTold(
  platform: "docker" | "podman",
  { daemon, world: { create, until, hub } }: { readonly daemon: ContainerDaemon; readonly world: HubContainerWorld },
): Promise<void> {
  const hostPort = await freePort();
  const small = (id: string, wish: Partial<Parameters<typeof smallSession>[1]>) =>
    smallSession(id, { image: daemon.image, script: LISTENER, ...wish });
  const fixed = { ports: [{ port: 8080, hostPort }] };
  await create(small("first", fixed));
  await until("first", isIn("running"), "it has the port");
  await Promise.all([
    create(small("second", fixed)),
    create(small("loop", { script: ["/usr/bin/sh", "-c", "exit 3"] })),
    create(small("nowhere", { image: "localhost:1/nothing/here:1" })),
    create(small("greedy", { script: ["/usr/bin/tail", "/dev/zero"], resources: { memory: "32Mi" } })),
  ]);
  const second = await until("second", ({ reason, state }) => state !== "running" && reason !== undefined, "it waits");
  expect(second.reason).toContain("first");
  const loop = await until("loop", ({ workload }) => (workload?.restarts ?? 0) >= 2, "it is started again and again");
  expect(loop.workload?.lastExit).toMatchObject({ code: 3, class: "failed" });
  const nowhere = await until(
    "nowhere",
    ({ reason }) => reason?.includes("could not be fetched") === true,
    "the image is named",
  );
  expect(nowhere.reason).toContain("localhost:1/nothing/here:1");
  const greedy = await until("greedy", ({ workload }) => workload?.lastExit !== undefined, "it has ended");
  // Podman 4.3 does not tell who ended it.
  expect(greedy.workload?.lastExit?.class).toBe(platform === "docker" ? "oom-killed" : "killed");
  expect((await until("first", isIn("running"), "it runs on")).workload?.restarts).toBe(0);
  await hub.call("DELETE", "/v1/sessions/first");
  await until("second", isIn("running"), "it has the port that was let go");
}
