import { expect, test } from "vitest";
import { podmanRefusal, startPodman } from "./container-daemon.ts";
import { expectWholeLife } from "./container-session-suite.ts";

test("Podman through a hub: a session's whole life, with agent and engine killed in each state, and each fault told", async ({
  skip,
}) => {
  skip(podmanRefusal !== undefined, podmanRefusal);
  await using daemon = await startPodman();
  await expectWholeLife("podman", daemon);
  expect.hasAssertions();
}, 240_000);
