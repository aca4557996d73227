import { expect, test } from "vitest";
import { AppError } from "../base/errors.ts";
import { loadAgentOptions } from "./load-agent-options.ts";
import { printOptions } from "./print-options.ts";

const facts = { hostname: "gate", isRoot: true, homeDirectory: "/root", cwd: "/" };

async function load(env: Record<string, string>, fileText?: string) {
  return loadAgentOptions({
    flags: {},
    configFile: fileText === undefined ? undefined : "/agent.yaml",
    strayArguments: [],
    env,
    facts,
    readTextFile: async () => {
      if (fileText !== undefined) return fileText;
      throw Object.assign(new AppError("not-found", "none"), { code: "ENOENT" });
    },
  });
}

test("shows each value with where it came from, and no secret", async () => {
  const text = printOptions(
    await load({
      SSE_ENDPOINT: "https://ann:canary-password@hub.example/events?key=canary-query#canary-hash",
      SLUICE_TOKEN: "canary-token",
      SLUICE_STREAMS_OUTPUT_TEMPLATE: "rtmp://u:canary-user@host/live/{streamKey}?auth=canary-auth",
    }),
  );
  expect(text).toContain("  endpoint: https://***@hub.example/events?key=***#***  # SSE_ENDPOINT (environment)");
  expect(text).toContain("  maxRetries: 10  # default");
  expect(text).toContain("  # name:  # not set");
  expect(text).not.toContain("canary");
});

test("reads back as the same configuration", async () => {
  const first = await load({
    SLUICE_BOX_LABELS: "site=north",
    SLUICE_POLICY_HOSTS: "*.example.com",
    SLUICE_BOX_NAME: "a: b",
    SLUICE_BOX_ID: "gate",
  });
  const second = await load({}, printOptions(first));
  // What is printed is named from then on.
  const { platforms, namedPlatforms: _none, ...sessions } = first.options.sessions;
  expect(second.options).toEqual({
    ...first.options,
    sessions: { ...sessions, platforms, namedPlatforms: platforms },
  });
});
