import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { z } from "zod";
import { boxHistoryViewSchema, boxViewSchema } from "../src/contract/fleet/box-view.ts";
import { expectedViewSchema } from "../src/contract/fleet/expected-view.ts";
import { hubEventPageSchema } from "../src/contract/fleet/hub-event.ts";
import { type HubProcess, type HubProcessOptions, startHubProcess } from "./hub-process.ts";
import { createHubWorld, type HubWorld } from "./hub-world.ts";
import { mountSmallDisk } from "./torture/small-disk.ts";

/** Failure modes of a fleet (docs/hub.md) with a real hub process, a real agent and real streams. */

async function directory(life: AsyncDisposableStack): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "sluice-hub-faults-"));
  return life.adopt(path, () => rm(path, { recursive: true, force: true, maxRetries: 5 }));
}

/** With its box enrolled and its agent running. */
async function world(
  life: AsyncDisposableStack,
  wish: { readonly hub?: HubProcessOptions; readonly stateDir?: string } = {},
): Promise<HubWorld> {
  const made = life.use(
    await createHubWorld({
      hub: wish.hub ?? {},
      world: {
        agentArguments: ["--report-interval-seconds", "1"],
        ...(wish.stateDir === undefined ? {} : { stateDir: wish.stateDir }),
      },
    }),
  );
  await made.enrol();
  await made.world.startAgent();
  return made;
}

/** The hub after one that was killed, in its place. */
async function nextHub(life: AsyncDisposableStack, { hub, relay }: HubWorld, dataDir: string): Promise<HubProcess> {
  const { port, adminToken } = hub;
  const publicUrl = `http://127.0.0.1:${relay.port}`;
  return life.use(await startHubProcess({ dataDir, port, adminToken, publicUrl }));
}

function pathOf({ world }: HubWorld, rest = ""): string {
  return `/v1/boxes/${world.boxId}${rest}`;
}

async function putStream(
  of: HubWorld,
  id: string,
  given: { readonly hub?: HubProcess; readonly priority?: number } = {},
) {
  const { hub = of.hub, priority } = given;
  const spec = {
    input: { url: "test://bars?size=64x48&fps=5" },
    outputs: [{ url: `${of.world.server.rtmp?.url}/${id}` }],
    audio: "none",
  };
  const workload = { kind: "stream", id, spec, ...(priority === undefined ? {} : { priority }) };
  await hub.call("PUT", pathOf(of, `/workloads/${id}`), { workload });
}

const boxOf = async (of: HubWorld, hub = of.hub) => boxViewSchema.parse(await hub.call("GET", pathOf(of)));
const historyOf = async (of: HubWorld, hub = of.hub) =>
  boxHistoryViewSchema.parse(await hub.call("GET", pathOf(of, "/history")));

/** Process ids by workload, as the agent tells them. */
async function pidsOf({ world }: HubWorld): Promise<ReadonlyMap<string, number | undefined>> {
  return new Map((await world.status()).workloads.map(({ id, pid }) => [id, pid]));
}

async function kindsOf({ world }: HubWorld, hub: HubProcess): Promise<readonly string[]> {
  const response = await fetch(`${hub.origin}/v1/events?recent=true&limit=200`, {
    headers: { authorization: `Bearer ${hub.adminToken}`, accept: "application/json" },
  });
  const { items } = hubEventPageSchema.parse(await response.json());
  return items.filter(({ box }) => box === world.boxId).map(({ kind }) => kind);
}

/** Follows the agent's log at the hub until its text fits, and gives it. */
async function readLog(of: HubWorld, query: string, fits: (text: string) => boolean): Promise<string> {
  const over = new AbortController();
  const response = await fetch(`${of.hub.origin}${pathOf(of, "/logs")}?${query}`, {
    headers: { authorization: `Bearer ${of.hub.adminToken}`, accept: "text/event-stream" },
    signal: AbortSignal.any([over.signal, AbortSignal.timeout(40_000)]),
  });
  let text = "";
  const decoder = new TextDecoder();
  for await (const bytes of response.body ?? []) {
    text += decoder.decode(bytes, { stream: true });
    if (fits(text)) break;
  }
  over.abort();
  return text;
}

test.concurrent("A1: an agent that is killed with five streams comes back to the same processes, and the hub shows the same", {
  timeout: 180_000,
}, async () => {
  await using life = new AsyncDisposableStack();
  const of = await world(life);
  const ids = Array.from({ length: 5 }, (_one, at) => `cam-${at}`);
  for (const id of ids) await putStream(of, id);
  for (const id of ids) await of.world.untilRunning(id);
  await of.world.until(async () => (await boxOf(of)).workloads.running === 5, "the hub sees five streams");
  const before = await pidsOf(of);
  let seen = "";
  const reading = readLog(of, "tail=500&follow=true", (text) => {
    seen = text;
    return text.includes("event: end");
  });
  await of.world.until(() => seen.includes("Somebody reads the log"), "the log is followed");
  await of.world.killAgent("SIGKILL");
  // What was under way is told to be cut off, not taken for the end of the log.
  const cutOff = await reading;
  expect(cutOff).toContain("event: gap");
  await of.world.startAgent();
  await of.world.until(async () => (await boxOf(of)).verdict === "restart", "the hub hears of the restart");
  await of.world.until(async () => (await boxOf(of)).workloads.running === 5, "the hub sees five streams again");
  expect(await pidsOf(of)).toEqual(before);
  const { items } = expectedViewSchema.parse(await of.hub.call("GET", pathOf(of, "/workloads")));
  expect(items.map(({ status }) => [status?.id, status?.pid, status?.restarts])).toEqual(
    ids.map((id) => [id, before.get(id), 0]),
  );
  expect(ids.map((id) => of.world.server.rtmp?.connects(id))).toEqual([1, 1, 1, 1, 1]);
  const kinds = await kindsOf(of, of.hub);
  expect(kinds).toContain("box.restarted");
  expect(kinds).not.toContain("box.rebooted");
  // The log of both lives, in one piece.
  const log = await readLog(of, "tail=500&follow=true", (text) =>
    /Started cam-4[\s\S]*for box[\s\S]*dopted/.test(text),
  );
  expect(log.match(/Sluice agent \S+ \(pid/g)).toHaveLength(2);
});

test.concurrent("A6: while the hub is away streams run and restart by themselves, and it hears afterwards what happened meanwhile", {
  timeout: 180_000,
}, async () => {
  await using life = new AsyncDisposableStack();
  const dataDir = await directory(life);
  const of = await world(life, { hub: { dataDir } });
  await putStream(of, "cam-1");
  await putStream(of, "cam-2");
  const { pid: steady } = await of.world.untilRunning("cam-1");
  const { pid: victim } = await of.world.untilRunning("cam-2");
  await of.world.until(async () => (await boxOf(of)).workloads.running === 2, "the hub sees both");
  await of.hub.kill();
  await of.world.until(async () => (await of.world.status()).link.state !== "live", "the box notices");
  process.kill(victim ?? 0, "SIGKILL");
  await of.world.until(async () => {
    const found = await of.world.workload("cam-2");
    return found?.state === "running" && found.pid !== victim;
  }, "cam-2 runs again with nobody to tell it");
  // An agent that starts while there is no hub starts from what it knows.
  await of.world.killAgent("SIGKILL");
  await of.world.startAgent();
  await of.world.until(async () => (await of.world.status()).report.queued > 0, "what happened waits to be told");
  const hub = await nextHub(life, of, dataDir);
  const knows = async () => {
    const { gaps, starts } = await historyOf(of, hub);
    return gaps.some(({ workload }) => workload === "cam-2") && starts.some(({ verdict }) => verdict === "restart");
  };
  await of.world.until(knows, "the hub knows of the gap and of the restart", 60_000);
  await of.world.until(async () => (await of.world.status()).report.queued === 0, "nothing waits any more");
  await of.world.until(async () => (await boxOf(of, hub)).connection === "online", "the hub sees it online", 60_000);
  await putStream(of, "cam-3", { hub });
  await of.world.untilRunning("cam-3");
  expect((await pidsOf(of)).get("cam-1")).toBe(steady);
  expect(of.world.server.rtmp?.connects("cam-1")).toBe(1);
});

test.concurrent("A7: a hub whose store was put back gives the box its set in a new epoch; no stream is stopped by it, and changes go on", {
  timeout: 180_000,
}, async () => {
  await using life = new AsyncDisposableStack();
  const dataDir = await directory(life);
  const of = await world(life, { hub: { dataDir } });
  await putStream(of, "cam-1");
  const { pid } = await of.world.untilRunning("cam-1");
  const revisionOf = async () => (await of.world.status()).expected.revision;
  const epochOf = async () => (await of.world.status()).expected.epoch;
  await of.world.until(async () => (await boxOf(of)).applied?.revision === 1, "the hub heard of it");
  await of.hub[Symbol.asyncDispose]();
  const store = join(dataDir, "hub.db");
  const old = join(await directory(life), "old.db");
  await copyFile(store, old);

  const second = await nextHub(life, of, dataDir);
  for (let at = 0; at < 5; at++) await putStream(of, "cam-1", { hub: second, priority: 60 + at });
  await of.world.until(async () => (await revisionOf()) === 6, "the box has revision 6", 60_000);
  const epoch = await epochOf();
  await second[Symbol.asyncDispose]();
  for (const end of ["-wal", "-shm"]) await rm(`${store}${end}`, { force: true });
  await copyFile(old, store);

  const third = await nextHub(life, of, dataDir);
  await of.world.until(async () => (await epochOf()) !== epoch, "the box has the set in a new epoch", 60_000);
  expect(await revisionOf()).toBe(1);
  await putStream(of, "cam-1", { hub: third, priority: 90 });
  await of.world.until(async () => (await of.world.workload("cam-1"))?.priority === 90, "a change reaches it");
  expect((await pidsOf(of)).get("cam-1")).toBe(pid);
  expect(of.world.server.rtmp?.connects("cam-1")).toBe(1);
  await of.world.until(async () => (await boxOf(of, third)).applied?.revision === 2, "and the hub hears that it did");
});

test.concurrent("A17: a box whose disk is full is heard all the same, stops and starts what the hub says, and says when it has room again", {
  timeout: 180_000,
}, async ({ skip }) => {
  await using life = new AsyncDisposableStack();
  const stateDir = await directory(life);
  const disk = mountSmallDisk(stateDir);
  if (typeof disk === "string") return skip(`no file system of its own: ${disk}`);
  life.use(disk);
  const of = await world(life, { stateDir });
  await putStream(of, "cam-1");
  await putStream(of, "cam-2");
  await of.world.untilRunning("cam-1");
  await of.world.untilRunning("cam-2");
  const registryOf = async () =>
    z
      .object({ items: z.array(z.object({ kind: z.string(), end: z.string().optional() })) })
      .parse({ items: (await historyOf(of)).incidents }).items;
  disk.fill();
  await of.hub.call("DELETE", pathOf(of, "/workloads/cam-2"));
  await of.world.until(async () => (await of.world.workload("cam-2")) === undefined, "cam-2 is stopped");
  await putStream(of, "cam-3");
  await of.world.untilRunning("cam-3");
  const contact = async () => Date.parse((await boxOf(of)).lastContactAt ?? "");
  const fullMs = await contact();
  await of.world.until(async () => (await contact()) > fullMs + 3000, "it goes on reporting");
  await of.world.until(async () => (await registryOf()).some(({ kind }) => kind === "disk-full"), "the hub knows why");
  disk.makeRoom();
  const isOver = async () => (await registryOf()).some(({ kind, end }) => kind === "disk-full" && end !== undefined);
  await of.world.until(isOver, "the hub hears that there is room again", 60_000);
  await of.world.until(async () => (await boxOf(of)).workloads.running === 2, "the hub sees both streams");
});
