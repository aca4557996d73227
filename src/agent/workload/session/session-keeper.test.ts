import { expect, test } from "vitest";
import { createFakeClock } from "../../../base/clock.fake.ts";
import { createMemoryLog } from "../../../base/log.ts";
import type { SessionPlatformName } from "../../../contract/session-spec.ts";
import type { SessionWorkload, Workload } from "../../../contract/workload.ts";
import { NO_MEMORY, type SessionMemory } from "../../registry/session-file.ts";
import { createSessionKeeper } from "./session-keeper.ts";

const session = (id: string, wish: Partial<SessionWorkload> & { readonly platform?: SessionPlatformName }) => {
  const { platform, ...rest } = wish;
  const spec = { user: "anna", template: { image: "nginx:1" }, ...(platform === undefined ? {} : { platform }) };
  return { kind: "session", id, spec, ...rest } as const satisfies Workload;
};

function keeperOf(workloads: readonly Workload[], refused: readonly string[] = []) {
  const clock = createFakeClock();
  const ready = new Set<SessionPlatformName>();
  const keeper = createSessionKeeper(
    { platforms: ["docker", "podman", "process"], max: 10, idleGraceMs: 0 },
    {
      clock,
      log: createMemoryLog(),
      progress: { advance: () => undefined, rest: () => undefined },
      expected: () => new Map(workloads.map((workload) => [workload.id, workload])),
      isRefused: (id) => refused.includes(id),
      unitOf: () => ({ run: undefined, isIdle: true }),
      openFile: () => {
        let memory: SessionMemory = NO_MEMORY;
        const remember = (next: SessionMemory) => {
          memory = next;
        };
        return { memory: () => memory, remember, commit: async () => undefined };
      },
      platformStatus: (platform) => ({ isReady: ready.has(platform), reason: `${platform} is away` }),
      discard: () => undefined,
      tellEndpoints: () => [],
      accepts: async () => false,
      sockets: () => [],
      datagrams: () => undefined,
      wake: () => undefined,
      onReady: () => undefined,
      onChange: () => undefined,
      onOccurrence: () => undefined,
    },
  );
  return { keeper, ready };
}

test("an engine is awaited while a session that is to run has no other to go to", () => {
  const { keeper, ready } = keeperOf([session("web", {})]);
  expect([keeper.isAwaited("docker"), keeper.isAwaited("podman")]).toEqual([true, false]);
  ready.add("podman");
  expect([keeper.isAwaited("docker"), keeper.isAwaited("podman")]).toEqual([false, false]);
});

test("the engine that a session names is awaited whatever else is there", () => {
  const { keeper, ready } = keeperOf([session("web", { platform: "podman" })]);
  ready.add("docker");
  expect([keeper.isAwaited("docker"), keeper.isAwaited("podman")]).toEqual([false, true]);
});

test("nobody awaits an engine where its sessions sleep or are refused, or there are none", () => {
  const asleep = session("asleep", { power: { state: "hibernated", turn: 1 } });
  for (const { keeper } of [keeperOf([]), keeperOf([asleep]), keeperOf([session("web", {})], ["web"])]) {
    expect(keeper.isAwaited("docker")).toBe(false);
  }
});
