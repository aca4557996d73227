import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createAgentWorld } from "./agent-world.ts";
import { startFakeCluster } from "./cluster/api-server.ts";
import { clusterSession } from "./cluster/cluster-world.ts";

const asleep = { state: "hibernated", turn: 1 } as const;
const awake = { state: "running", turn: 2 } as const;

test("a whole agent runs a session in a cluster: start, log, sleep, kill, wake, stop", {
  timeout: 120_000,
}, async () => {
  await using cluster = await startFakeCluster();
  cluster.kubelet.images.set("app:1", {});
  await using world = await createAgentWorld({
    server: { rtmpPort: undefined },
    agentArguments: [
      ...["--sessions-platforms", "kubernetes", "--kubernetes-kubeconfig", cluster.kubeconfig],
      ...["--kubernetes-namespace", "apps", "--kubernetes-service", "node-port"],
      ...["--policy-images", "app:*,nowhere:*", "--sessions-idle-grace-seconds", "0"],
    ],
  });
  const untilState = (id: string, state: string) =>
    world.until(async () => {
      const found = await world.workload(id);
      return found?.state === state ? found : undefined;
    }, `${id} is ${state}`);
  const podsOf = (id: string) =>
    cluster.store.list("Pod").filter(({ metadata }) => metadata.labels?.["sluice.workload"] === id);

  // Away at the start: waited for, and nothing counts as a failure.
  await cluster.stop();
  await world.startAgent();
  const session = clusterSession(
    "web",
    { ports: [{ port: 80, name: "web", scheme: "http" }], env: { API_TOKEN: "hunter-22" } },
    { volumes: [{ name: "files", path: "/files" }] },
  );
  const nowhere = clusterSession("nowhere", { image: "nowhere:1" });
  const once = { ...clusterSession("once"), spec: { ...clusterSession("once").spec, restart: "never" as const } };
  const foreign = clusterSession("foreign", { image: "other:1" });
  world.server.putStreams(session, nowhere, once, foreign);
  expect(JSON.stringify(await untilState("web", "waiting"))).toContain("waits for Kubernetes (");
  expect(JSON.stringify(await untilState("once", "refused"))).toContain("restart: given never");
  expect(JSON.stringify(await untilState("foreign", "refused"))).toContain("allowed: app:*, nowhere:*");
  await cluster.start();
  const first = await untilState("web", "running");
  expect(first).toMatchObject({
    restarts: 0,
    session: {
      platform: "kubernetes",
      instance: "apps/sluice-web",
      endpoints: [{ name: "web", url: expect.stringMatching(/^http:\/\/192\.0\.2\.7:\d+$/) }],
    },
  });
  const stuck = await world.until(async () => {
    const found = await world.workload("nowhere");
    return JSON.stringify(found).includes("ImagePullBackOff") ? found : undefined;
  }, "the image is named");
  expect(stuck).toMatchObject({ restarts: 0, fault: "image-missing" });

  cluster.kubelet.write("web", "a word about hunter-22");
  const readLog = () => readFile(join(world.stateDir, "logs/web.log"), "utf8").catch(() => "");
  const said = await world.until(async () => {
    const text = await readLog();
    return text.includes("a word about") ? text : undefined;
  }, "the log has come");
  expect(said).toMatch(/\[stdout\] web runs for the 1\. time/);
  expect(said).not.toContain("hunter-22");

  world.server.set.remove(["nowhere"]);
  await world.until(() => cluster.store.get("Deployment", "sluice-nowhere") === undefined, "nothing of it is left");

  // Killed while it runs: adopted, and the same pod.
  const [pod] = podsOf("web");
  await world.killAgent("SIGKILL");
  await world.startAgent();
  await untilState("web", "running");
  expect(podsOf("web").map(({ metadata }) => metadata.name)).toEqual([pod?.metadata.name]);

  world.server.putStreams({ ...session, power: asleep });
  expect(await untilState("web", "hibernated")).toMatchObject({ session: { sleep: { depth: "scaled-to-zero" } } });
  expect(podsOf("web")).toEqual([]);
  expect(cluster.store.get("PersistentVolumeClaim", "sluice-web-files")).toBeDefined();
  await world.killAgent("SIGKILL");
  await world.startAgent();
  await untilState("web", "hibernated");
  expect(podsOf("web")).toEqual([]);

  world.server.putStreams({ ...session, power: awake });
  const woken = await untilState("web", "running");
  expect(woken.session?.wakeMs?.["scaled-to-zero"]).toBeGreaterThan(0);
  const whole = await world.until(async () => {
    const text = await readLog();
    return text.split("runs for the 1. time").length === 3 ? text : undefined;
  }, "the log of the next pod has come");
  expect(whole.split("a word about")).toHaveLength(2);
  expect(podsOf("web")).toHaveLength(1);

  world.server.set.remove(["web"]);
  await world.until(() => podsOf("web").length === 0, "no pod is left");
  expect(cluster.store.list("Deployment").map(({ spec }) => spec.replicas ?? 1)).not.toContain(1);
  expect(cluster.refusals).toEqual([]);
});
