import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { AgentOptions } from "../../config/agent-options.ts";
import { checkSessions } from "./check-sessions.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-doctor-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const check = (
  { images = [], sessionCommands = [] }: Partial<AgentOptions["policy"]>,
  platforms: AgentOptions["sessions"]["platforms"] = ["docker", "podman", "process"],
) => {
  const sessions = {
    platforms,
    dockerSocket: join(directory, "docker.sock"),
    podmanSocket: join(directory, "podman.sock"),
    kubernetes: {
      kubeconfig: join(directory, "config"),
      namespace: "default",
      serviceType: "ClusterIP" as const,
      ingressHost: undefined,
      ingressClass: undefined,
      storageClass: undefined,
    },
  };
  return checkSessions({ sessions, policy: { images, sessionCommands } });
};

test("a box that allows none is well, and says so", async () => {
  expect(await check({})).toMatchObject({ outcome: "ok", found: expect.stringContaining("none is allowed") });
});

test("each platform says what it lacks, and one that is there is enough", async () => {
  const found = await check({ images: ["nginx"], sessionCommands: ["/bin/app"] });
  expect(found).toMatchObject({ outcome: "ok", found: expect.stringMatching(/docker \(.*not there\).*, process$/) });
  const server = createServer((socket) => socket.on("error", () => undefined));
  await new Promise<void>((done) => server.listen(join(directory, "docker.sock"), done));
  try {
    expect((await check({ images: ["nginx"] })).found).toMatch(
      /^on docker, podman .*, process \(policy.sessionCommands is empty\)$/,
    );
  } finally {
    server.close();
  }
});

test("a cluster is there for the box once its kubeconfig can be read", async () => {
  expect((await check({ images: ["nginx"] }, ["kubernetes"])).found).toMatch(/kubernetes \(.*config: not there\)/);
  await writeFile(join(directory, "config"), "");
  expect(await check({ images: ["nginx"] }, ["kubernetes"])).toMatchObject({ outcome: "ok", found: "on kubernetes" });
});

test("where nothing is there that could run what is allowed, it says what to do", async () => {
  expect(await check({ images: ["nginx"] }, ["docker"])).toMatchObject({ outcome: "warn", advice: expect.any(String) });
});
