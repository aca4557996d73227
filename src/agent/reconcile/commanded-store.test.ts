import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { systemClock } from "../../base/clock.ts";
import { createMemoryLog } from "../../base/log.ts";
import type { SessionSpec } from "../../contract/session-spec.ts";
import type { Workload } from "../../contract/workload.ts";
import { createCommandedFile } from "../registry/commanded-file.ts";
import { createCommandedStore, withCommanded } from "./commanded-store.ts";
import { createExpectedStore } from "./expected-store.ts";

let file: string;
let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-commanded-"));
  file = join(directory, "commanded_state.json");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const specOf = (id: string): SessionSpec => ({
  id,
  user: "anna",
  template: { image: "nginx:1", env: { DB_PASSWORD: "hunter-22" } },
});
const start = (id: string, generation: number) => ({ name: "StartSession", spec: specOf(id), generation }) as const;
const stop = (id: string, generation: number) => ({ name: "StopSession", id, generation }) as const;
const { id: _id, ...runSpec } = specOf("web");
const session = (id: string): Workload => ({ kind: "session", id, spec: runSpec });

/** One agent over the files of this directory. */
function startAgent(given: { readonly isCleared?: boolean; readonly refuse?: string } = {}) {
  const order: string[] = [];
  const log = createMemoryLog();
  const server = createExpectedStore({ shrinkHoldMs: 60_000 }, undefined, {
    clock: createFakeClock(),
    log,
    running: () => new Set(),
    save: async () => undefined,
    onPut: () => undefined,
    onChange: () => store.expectedChanged(),
  });
  const commandedFile = createCommandedFile(
    { file },
    { clock: systemClock, log, signal: new AbortController().signal },
  );
  const store = createCommandedStore(
    { isCleared: given.isCleared ?? false },
    {
      file: commandedFile,
      expected: server,
      admit: () => (given.refuse === undefined ? undefined : { rule: given.refuse, message: "no" }),
      onPut: (workloads) => order.push(...[...workloads].map(({ id }) => `put ${id}`)),
      onFarewell: ({ id, spec }) => {
        order.push(`${id} goes: ${spec.volumes?.map(({ name, onStop }) => `${name} ${onStop}`).join()}`);
      },
      onChange: () => void order.push("change"),
    },
  );
  const both = withCommanded(server, store);
  return { store, server, order, file: commandedFile, ids: () => [...both.state().workloads.keys()].sort() };
}

test("what is answered is on disk, and its secrets are known before anything else happens", async () => {
  const { store, order } = startAgent();
  expect(await store.take(start("web", 3), "c-1")).toMatchObject({ ok: true, text: "started" });
  expect(order).toEqual(["put web", "change"]);
  expect(JSON.parse(await readFile(file, "utf8")).data).toMatchObject({
    sessions: [{ generation: 3, workload: { id: "web" } }],
    outcomes: [{ id: "c-1", text: "started" }],
  });
  const next = startAgent();
  expect(next.ids()).toEqual(["web"]);
  expect(next.order).toEqual(["put web"]);
  expect([next.store.outcomeOf("c-1"), next.store.outcomeOf("c-2")]).toEqual(["started", undefined]);
  expect(await next.store.take(start("web", 3), "c-1")).toMatchObject({ ok: true, text: "already" });
  expect(await next.store.take(start("web", 2), "c-2")).toMatchObject({ ok: false, text: "older generation 2 than 3" });
});

test("what becomes of its volumes is known before a session is expected no more, and only where it counts", async () => {
  const { store, server, order } = startAgent();
  const volumes = [{ name: "data", path: "/data" }];
  await store.take({ ...start("web", 3), spec: { ...specOf("web"), volumes } }, "c-1");
  order.length = 0;
  await store.take({ ...stop("web", 2), volumes: "delete" }, "c-2");
  await store.take({ ...stop("other", 2), volumes: "delete" }, "c-3");
  expect(order).toEqual(["change"]);
  order.length = 0;
  await store.take({ ...stop("web", 4), volumes: "delete" }, "c-4");
  expect(order).toEqual(["web goes: data delete", "change"]);
  // What a hub forgot is ended by the same command.
  const held = { kind: "session", id: "kept", spec: { ...runSpec, volumes } } as const;
  await server.apply(
    { kind: "snapshot", epoch: "one", revision: 1, workloads: [held], rejected: [], confirm: false },
    "1",
  );
  await server.apply({ kind: "snapshot", epoch: "two", revision: 1, workloads: [], rejected: [], confirm: false }, "2");
  order.length = 0;
  expect(await store.take({ ...stop("kept", 1), volumes: "keep" }, "c-5")).toMatchObject({ ok: true });
  expect(order[0]).toBe("kept goes: data keep");
});

test("what the box does not allow is refused with its rule and not remembered", async () => {
  const { store, ids } = startAgent({ refuse: "policy.images" });
  expect(await store.take(start("web", 3), "c-1")).toEqual({ ok: false, text: "refused by policy.images: no" });
  expect(ids()).toEqual([]);
  expect((await startAgent().store.take(start("web", 1), "c-2")).text).toBe("started");
});

test("after a reboot that clears nothing is expected, and a late start stays without effect", async () => {
  const first = startAgent();
  await first.store.take(start("web", 3), "c-1");
  await first.store.take(stop("gone", 7), "c-2");
  const next = startAgent({ isCleared: true });
  expect(next.ids()).toEqual([]);
  expect((await next.store.take(start("gone", 7), "c-3")).ok).toBe(false);
  expect((await next.store.take(start("web", 3), "c-4")).text).toBe("started");
});

test("the server's set takes over what it names, also across restarts, and a session kept for it ends by a stop", async () => {
  const { store, server, ids } = startAgent();
  await store.take(start("web", 3), "c-1");
  const snapshot = (epoch: string, workloads: readonly Workload[]) =>
    server.apply({ kind: "snapshot", epoch, revision: 1, workloads, rejected: [], confirm: false }, undefined);
  await snapshot("e1", [session("web")]);
  expect((await store.take(stop("web", 9), "c-2")).text).toMatch(/^conflict: /);
  await snapshot("e2", []);
  expect(ids()).toEqual(["web"]);
  expect(await store.take(stop("web", 9), "c-3")).toEqual({
    ok: true,
    text: "stopped: it was kept for a hub that did not know it",
  });
  expect(ids()).toEqual([]);
  // An older word that comes late begins nothing.
  expect(await store.take(start("web", 8), "c-late")).toMatchObject({ ok: false });
  await store.take(start("other", 1), "c-4");
  expect(startAgent().ids()).toEqual(["other"]);
});

test("a damaged file costs what is damaged, and is put aside", async () => {
  const first = startAgent();
  await first.store.take(start("web", 3), "c-1");
  await first.store.take(start("other", 3), "c-2");
  const text = await readFile(file, "utf8");
  await writeFile(file, text.slice(0, -20));
  const next = startAgent();
  // The generation before it, which is as good as a kill before the last command.
  expect(next.ids()).toEqual(["web"]);
  expect(next.file.problems).toHaveLength(1);
});
