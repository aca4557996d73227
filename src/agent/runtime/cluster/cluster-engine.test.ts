import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type FakeCluster, startFakeCluster } from "../../../../test-server/cluster/api-server.ts";
import {
  type ClusterUnderTest,
  type ClusterWish,
  clusterSession,
  openClusterUnderTest,
} from "../../../../test-server/cluster/cluster-world.ts";
import { AppError } from "../../../base/errors.ts";
import type { EngineEntry } from "../engine-output.ts";
import type { SessionRun, StopLadder } from "../run-handle.ts";

const LADDER: StopLadder = [
  { signal: "SIGTERM", graceMs: 2000, toGroup: false },
  { signal: "SIGKILL", graceMs: 2000, toGroup: true },
];
const POLL = { timeout: 20_000, interval: 20 };

/** A cluster of its own: faults meet nobody else. */
async function clusterOfItsOwn(): Promise<FakeCluster> {
  const cluster = await startFakeCluster();
  cluster.kubelet.images.set("app:1", {});
  return cluster;
}

async function openOn(cluster: FakeCluster, more: Omit<ClusterWish, "cluster"> = {}): Promise<ClusterUnderTest> {
  const box = openClusterUnderTest({ cluster, ...more });
  await box.untilReady();
  return box;
}

const isReady = (run: SessionRun) => run.told?.().isReady;
const causeOf = (run: SessionRun) => run.told?.().finding?.cause;
const podsOf = (cluster: FakeCluster, id: string) =>
  cluster.store.list("Pod").filter(({ metadata }) => metadata.labels?.["sluice.workload"] === id);
const namesOf = (cluster: FakeCluster) =>
  (["Deployment", "Service", "Ingress", "Secret", "PersistentVolumeClaim"] as const).flatMap((kind) =>
    cluster.store.list(kind).map(({ metadata }) => `${kind}/${metadata.name}`),
  );

describe.concurrent("a cluster", { timeout: 120_000 }, () => {
  let shared: FakeCluster;
  beforeAll(async () => {
    shared = await startFakeCluster();
    shared.kubelet.images.set("app:1", {});
  });
  afterAll(async () => {
    expect(shared.refusals).toEqual([]);
    await shared[Symbol.asyncDispose]();
  });

  test("runs a session, lets it sleep with its volumes, wakes it, and forgets it", async ({ expect: here }) => {
    await using box = await openOn(shared, { stateDir: "/life", serviceType: "NodePort" });
    const ports = [
      { port: 80, name: "web", scheme: "http" },
      { port: 53, protocol: "udp" as const },
    ];
    const volumes = [
      { name: "gone", path: "/gone", onStop: "delete" as const },
      { name: "kept", path: "/kept" },
    ];
    const workload = clusterSession("life", { ports, env: { API_TOKEN: "s3cret" } }, { volumes });
    const run = await box.start(workload);
    expect([run.label, run.instance]).toEqual(["deployment apps/sluice-life", "apps/sluice-life"]);
    await here.poll(() => isReady(run), POLL).toBe(true);
    expect(await run.endpoints()).toEqual([
      { port: 80, protocol: "tcp", address: "192.0.2.7", hostPort: here.any(Number), isElsewhere: true },
      { port: 53, protocol: "udp", address: "192.0.2.7", hostPort: here.any(Number), isElsewhere: true },
    ]);
    const [pod] = podsOf(shared, "life");
    expect(await run.stop(LADDER)).toBe("gone");
    expect(await run.exited).toMatchObject({ code: null, isAdopted: false });
    expect(podsOf(shared, "life")).toEqual([]);
    expect(shared.store.get("Deployment", "sluice-life")?.spec.replicas).toBe(0);
    await here.poll(() => box.engine.sweep(), POLL).toEqual([]);

    const woken = await box.start(workload, 2);
    await here.poll(() => isReady(woken), POLL).toBe(true);
    expect(podsOf(shared, "life")[0]?.metadata.name).not.toBe(pod?.metadata.name);
    expect(woken.mark.generation).toBe(2);
    await woken.stop(LADDER);
    box.unkept.add("life");
    await box.engine.discard("life");
    expect(namesOf(shared).filter((name) => name.includes("sluice-life"))).toEqual([
      "PersistentVolumeClaim/sluice-life-kept",
    ]);
    // What was kept is had again, larger where more is asked for.
    box.unkept.delete("life");
    const larger = volumes.map((one) => ({ ...one, size: "20Gi", onStop: "delete" as const }));
    const again = await box.start(clusterSession("life", {}, { volumes: larger }), 3);
    expect(shared.store.get("PersistentVolumeClaim", "sluice-life-kept")).toMatchObject({
      metadata: { labels: { "sluice.on-stop": "delete" } },
      spec: { resources: { requests: { storage: "20Gi" } }, storageClassName: "local-path" },
    });
    // What it asks for no more is gone.
    expect(shared.store.get("Service", "sluice-life")).toBeUndefined();
    await again.stop(LADDER);
  });

  test("tells where an Ingress, a load balancer and the inside of the cluster is reached", async () => {
    const ports = [{ port: 80, name: "web", scheme: "http" }, { port: 554 }];
    await using inside = await openOn(shared, { stateDir: "/inside", ingressHost: "{{session}}.apps.example" });
    const run = await inside.start(clusterSession("inside", { ports }));
    expect(await run.endpoints()).toMatchObject([
      { port: 80, address: "inside.apps.example", hostPort: 80 },
      { port: 554, address: expect.stringMatching(/^10\.43\.0\./), hostPort: 554 },
    ]);
    await using balanced = await openOn(shared, { stateDir: "/balanced", serviceType: "LoadBalancer" });
    const other = await balanced.start(clusterSession("balanced", { ports: [{ port: 554 }] }));
    expect(await other.endpoints()).toEqual([]);
    const service = shared.store.get("Service", "sluice-balanced");
    if (service === undefined) return expect.unreachable();
    shared.store.put({ ...service, status: { loadBalancer: { ingress: [{ ip: "198.51.100.4" }] } } });
    expect(await other.endpoints()).toMatchObject([{ address: "198.51.100.4", hostPort: 554 }]);
  });

  test("names what keeps a session from serving, and none of it is an exit", async ({ expect: here }) => {
    const { images } = shared.kubelet;
    images.set("crash:1", { ends: { afterMs: 60, exitCode: 3, reason: "Error" } });
    images.set("greedy:1", { ends: { afterMs: 60, exitCode: 137, reason: "OOMKilled" } });
    await using box = await openOn(shared, { stateDir: "/trouble" });
    const [crash, greedy, nowhere] = await Promise.all(
      ["crash:1", "greedy:1", "nowhere:1"].map((image, index) =>
        box.start(clusterSession(`trouble-${index}`, { image })),
      ),
    );
    if (crash === undefined || greedy === undefined || nowhere === undefined) return here.unreachable();
    let ends = 0;
    for (const run of [crash, greedy, nowhere]) void run.exited.then(() => (ends += 1));
    await here.poll(() => causeOf(crash), POLL).toBe("crash-loop");
    expect(crash.told?.().finding?.message).toMatch(/ended with status 3, the cluster has started it again \d+ times/);
    await here.poll(() => causeOf(greedy), POLL).toBe("oom-killed");
    expect(greedy.told?.().finding?.message).toContain("memory limit (OOMKilled)");
    await here.poll(() => causeOf(nowhere), POLL).toBe("image-missing");
    expect(nowhere.told?.().finding?.message).toContain('ImagePullBackOff: Back-off pulling image "nowhere:1"');
    images.set("nowhere:1", {});
    await here.poll(() => isReady(nowhere), POLL).toBe(true);
    expect(ends).toBe(0);
  });

  test("tells what a session uses where it measures, and nothing where it does not", async ({ expect: here }) => {
    await using box = await openOn(shared, { stateDir: "/usage" });
    const run = await box.start(clusterSession("usage"));
    await here.poll(() => isReady(run), POLL).toBe(true);
    shared.metrics.set("usage", { cpu: "250000000n", memory: "65536Ki" });
    const first = await run.usage();
    await new Promise((done) => setImmediate(done));
    const second = await run.usage();
    expect([first?.memoryBytes, (second?.cpuMs ?? 0) > (first?.cpuMs ?? 0)]).toEqual([65_536 * 1024, true]);
    const unmeasured = await box.start(clusterSession("unmeasured"));
    await here.poll(() => isReady(unmeasured), POLL).toBe(true);
    expect(await unmeasured.usage()).toBeUndefined();
  });

  test("gives the log of each container after the other, and each line once it was written", async ({
    expect: here,
  }) => {
    await using box = await openOn(shared, { stateDir: "/log" });
    const run = await box.start(clusterSession("log"));
    const seen: EngineEntry[] = [];
    const life = new AbortController();
    const reading = (async () => {
      while (!life.signal.aborted) {
        const since = seen.at(-1)?.timeNs ?? 0n;
        for await (const entry of run.output?.read(since, life.signal) ?? []) {
          if (seen.every((one) => one.timeNs !== entry.timeNs)) seen.push(entry);
        }
        await new Promise((done) => setTimeout(done, 20));
      }
    })().catch(() => undefined);
    await here.poll(() => seen.length, POLL).toBeGreaterThanOrEqual(1);
    shared.kubelet.write("log", "a word in between");
    await here.poll(() => seen.length, POLL).toBeGreaterThanOrEqual(2);
    shared.kubelet.end("log", 1);
    await here.poll(() => seen.length, POLL).toBeGreaterThanOrEqual(3);
    life.abort();
    await reading;
    const texts = seen.map(({ bytes }) => bytes.toString());
    expect(texts[0]).toMatch(/^log runs for the 1\. time in sluice-log-\w+\n$/);
    expect(texts.slice(1, 3)).toEqual(["a word in between\n", here.stringMatching(/for the 2\. time/)]);
    // Nothing is missing before what the next container wrote.
    expect(seen.map(({ isFresh }) => isFresh === true)).toEqual(
      seen.map(({ bytes }) => /[2-9]\. time/.test(`${bytes}`)),
    );
  });

  test("a name that a stranger has is said, and the stranger is left alone", async ({ expect: here }) => {
    await using others = await openOn(shared, { stateDir: "/stranger" });
    const theirs = await others.start(clusterSession("taken"));
    await using box = await openOn(shared, { stateDir: "/mine" });
    await expect(box.start(clusterSession("taken"))).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringMatching(
        /the name sluice-taken is taken by a Deployment in namespace apps, which box box has made/,
      ),
    });
    box.unkept.add("taken");
    await box.engine.discard("taken");
    await here.poll(() => box.engine.sweep(), POLL).toEqual([]);
    expect(podsOf(shared, "taken")).toHaveLength(1);
    expect(theirs.mark.workloadId).toBe("taken");
  });
});

describe.concurrent("whatever goes wrong", { timeout: 120_000 }, () => {
  test("the next agent finds what runs and what ends, and what was discarded goes", async ({ expect: here }) => {
    await using cluster = await clusterOfItsOwn();
    cluster.kubelet.images.set("slow:1", { stopMs: 600_000 });
    {
      await using box = openClusterUnderTest({ cluster });
      await box.untilReady();
      const [running, , asleep] = await Promise.all([
        box.start(clusterSession("runs")),
        box.start(clusterSession("ends", { image: "slow:1" })),
        box.start(clusterSession("sleeps")),
      ]);
      await asleep.stop(LADDER);
      await here.poll(() => isReady(running), POLL).toBe(true);
    }
    cluster.store.merge("Deployment", "sluice-ends", { spec: { replicas: 0 } });
    const box = openClusterUnderTest({ cluster });
    box.unkept.add("sleeps");
    await using _ = box;
    await box.untilReady();
    const found = new Map((box.appearances.at(-1) ?? []).map((run) => [run.mark.workloadId, run]));
    expect([...found.keys()].sort()).toEqual(["ends", "runs"]);
    const adopted = found.get("runs")?.adopt();
    expect(adopted).toMatchObject({ isAdopted: true, label: "deployment apps/sluice-runs", mark: { generation: 1 } });
    const ending = found.get("ends")?.adopt();
    cluster.kubelet.images.set("slow:1", {});
    expect(await ending?.exited).toMatchObject({ code: null });
    await here.poll(() => cluster.store.get("Deployment", "sluice-sleeps"), POLL).toBeUndefined();
    expect(podsOf(cluster, "runs")).toHaveLength(1);
    cluster.store.remove("Deployment", "sluice-runs");
    expect(await adopted?.exited).toMatchObject({ reason: "removed" });
  });

  test("an agent that dies at any call leaves one Deployment at most, and the next start makes it whole", async ({
    expect: here,
  }) => {
    await using cluster = await clusterOfItsOwn();
    const volumes = [{ name: "own", path: "/own", onStop: "delete" as const }];
    const workload = clusterSession("edge", { ports: [{ port: 80, scheme: "http" }], env: { KEY: "k" } }, { volumes });
    let isOver = false;
    let deaths = 0;
    for (let calls = 1; !isOver; calls += 1) {
      expect(calls).toBeLessThan(20);
      let asked = 0;
      let isCounting = false;
      const dead = () => Promise.reject(new AppError("cancelled", "dead"));
      await using dying = openClusterUnderTest({
        cluster,
        around: (real) => (url, init) => {
          if (isCounting && init.method === "PATCH") asked += 1;
          // The write that the agent dies in is done by the cluster, and its answer is heard by nobody.
          if (isCounting && asked === calls && init.method === "PATCH") return real(url, init).then(dead);
          return isCounting && asked >= calls ? dead() : real(url, init);
        },
      });
      await dying.untilReady();
      isCounting = true;
      isOver = await dying.start(workload).then(
        () => asked < calls,
        () => false,
      );
      if (!isOver) deaths += 1;
      isCounting = false;
      await using box = openClusterUnderTest({ cluster });
      await box.untilReady();
      const before = box.appearances.at(-1) ?? [];
      // Where a pod is asked for, all else of the session is there.
      if (before.length > 0) expect(namesOf(cluster)).toHaveLength(4);
      const run = await box.start(workload, 2);
      expect(namesOf(cluster).sort()).toEqual([
        "Deployment/sluice-edge",
        "PersistentVolumeClaim/sluice-edge-own",
        "Secret/sluice-edge",
        "Service/sluice-edge",
      ]);
      await here.poll(() => podsOf(cluster, "edge").length, POLL).toBe(1);
      await run.stop(LADDER);
      box.unkept.add("edge");
      await box.engine.discard("edge");
      expect(namesOf(cluster)).toEqual([]);
    }
    expect(deaths).toBe(4);
    expect(cluster.refusals).toEqual([]);
  });

  test("an API server that goes away ends nothing, and what happened meanwhile is known when it returns", async ({
    expect: here,
  }) => {
    await using cluster = await clusterOfItsOwn();
    await cluster.stop();
    const box = openClusterUnderTest({ cluster });
    await using _ = box;
    await here.poll(() => box.engine.status().reason, POLL).toMatch(/^Kubernetes \(.*\): nothing listens there/);
    await cluster.start();
    await box.untilReady();
    const [stays, goes] = await Promise.all([box.start(clusterSession("stays")), box.start(clusterSession("goes"))]);
    const ended: string[] = [];
    for (const run of [stays, goes]) void run.exited.then(() => ended.push(run.mark.workloadId));
    await here.poll(() => isReady(stays) === true && isReady(goes) === true, POLL).toBe(true);
    await cluster.stop();
    await here.poll(() => box.engine.status().isReady, { ...POLL, timeout: 25_000 }).toBe(false);
    expect([ended, isReady(stays)]).toEqual([[], true]);
    // A stop that is asked for now is carried out then.
    const stopping = stays.stop([{ signal: "SIGTERM", graceMs: 10_000, toGroup: false }]);
    cluster.store.remove("Deployment", "sluice-goes");
    await cluster.start();
    expect(await stopping).toBe("gone");
    await here.poll(() => ended.toSorted(), POLL).toEqual(["goes", "stays"]);
    await box.untilReady();
    expect(box.appearances.length).toBeGreaterThanOrEqual(2);
  });

  test("a watch that breaks goes on, one that is too old begins anew, and nothing is missed", async ({
    expect: here,
  }) => {
    await using cluster = await clusterOfItsOwn();
    cluster.kubelet.images.set("late:1", {});
    await using box = await openOn(cluster);
    const run = await box.start(clusterSession("watched", { image: "absent:1" }));
    await here.poll(() => causeOf(run), POLL).toBe("image-missing");
    await here.poll(() => cluster.openWatches(), POLL).toBe(2);
    const listsBefore = cluster.requests.filter((one) => one === "GET /api/v1/namespaces/apps/pods").length;
    cluster.dropWatches();
    cluster.kubelet.images.set("absent:1", {});
    await here.poll(() => isReady(run), POLL).toBe(true);
    const lists = () => cluster.requests.filter((one) => one === "GET /api/v1/namespaces/apps/pods").length;
    expect(lists()).toBe(listsBefore);

    await here.poll(() => cluster.openWatches(), POLL).toBe(2);
    cluster.dropWatches();
    cluster.kubelet.images.delete("absent:1");
    for (const pod of podsOf(cluster, "watched")) cluster.kubelet.remove(pod.metadata.name, 0);
    await here.poll(() => podsOf(cluster, "watched").length, POLL).toBe(1);
    cluster.store.forget();
    await here.poll(() => causeOf(run), POLL).toBe("image-missing");
    expect(lists()).toBeGreaterThan(listsBefore);
    expect(box.engine.status().isReady).toBe(true);
  });

  test("busy, slow, crossed and with another token it is asked again, by either way to sign in", async ({
    expect: here,
  }) => {
    await using cluster = await clusterOfItsOwn();
    await using box = await openOn(cluster);
    cluster.faults.throttled = 2;
    cluster.faults.conflicts = 2;
    cluster.faults.slowMs = 50;
    cluster.rotateToken();
    const run = await box.start(clusterSession("hard"));
    await here.poll(() => isReady(run), POLL).toBe(true);
    expect(await run.stop(LADDER)).toBe("gone");
    await using other = await openOn(cluster, { kubeconfig: cluster.certificateKubeconfig, stateDir: "/other" });
    expect(other.engine.status()).toMatchObject({ isReady: true, version: "v1.30.4+fake" });
  });

  test("what the cluster refuses is told in its words, and no secret is in them", async () => {
    await using cluster = await clusterOfItsOwn();
    await using box = await openOn(cluster);
    const start = box.start(clusterSession("bad", { ports: [{ port: 0 }], env: { API_TOKEN: "hunter-22" } }));
    await expect(start).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringContaining('Service "sluice-bad"'),
    });
    await expect(start).rejects.not.toThrow("hunter-22");
    expect(box.lines().join("\n")).not.toContain("first-token");
  });
});
