import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { HOLDER_NODE_OPTIONS } from "../src/agent/remote/holders.ts";
import { AGENT_ENVIRONMENT, AGENT_NODE_OPTIONS } from "./agent-runtime.ts";

test("agents under test run with the settings of the launchers", () => {
  const launchers = readFileSync(resolve(import.meta.dirname, "../scripts/bootstrap.sh"), "utf8");
  const settings = Object.entries(AGENT_ENVIRONMENT).map(([name, value]) => `${name}=${value}`);
  expect(launchers).toContain(`export ${settings.join(" ")}\n`);
  expect(launchers).toContain(`exec $2 ${AGENT_NODE_OPTIONS.join(" ")} $3 `);
});

test("holders move bytes with the settings of the launchers", () => {
  const launchers = readFileSync(resolve(import.meta.dirname, "../scripts/bootstrap.sh"), "utf8");
  expect(launchers).toContain(`exec $2 ${HOLDER_NODE_OPTIONS.join(" ")} $3 `);
});
