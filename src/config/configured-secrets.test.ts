import { expect, test } from "vitest";
import { configuredSecrets } from "./configured-secrets.ts";
import { loadAgentOptions } from "./load-agent-options.ts";

test("the token, passwords, lone users and query values of addresses are secrets; ordinary words are not", async () => {
  const { options } = await loadAgentOptions({
    flags: {},
    configFile: "/agent.yaml",
    strayArguments: [],
    env: {
      SSE_ENDPOINT: "https://ann:p%40ssword@hub/events?key=query-key",
      SLUICE_TOKEN: "the-token",
      SLUICE_STREAMS_OUTPUT_TEMPLATE: "rtmp://lone-user@host/live/{streamKey}?auth={streamKey}",
    },
    facts: { hostname: "h", isRoot: true, homeDirectory: "/", cwd: "/" },
    readTextFile: async () => "",
  });
  expect([...configuredSecrets(options)].sort()).toEqual(
    ["the-token", "p%40ssword", "p@ssword", "query-key", "lone-user"].sort(),
  );
});
