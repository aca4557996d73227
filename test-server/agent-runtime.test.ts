import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { AGENT_ENVIRONMENT, AGENT_NODE_OPTIONS } from "./agent-runtime.ts";

test("agents under test run with the settings of the launchers", () => {
  const launchers = readFileSync(resolve(import.meta.dirname, "../scripts/bootstrap.sh"), "utf8");
  const settings = Object.entries(AGENT_ENVIRONMENT).map(([name, value]) => `${name}=${value}`);
  expect(launchers).toContain(`export ${settings.join(" ")}\n`);
  expect(launchers).toContain(`exec $2 ${AGENT_NODE_OPTIONS.join(" ")} $3 `);
});
