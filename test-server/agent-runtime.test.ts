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

test("holders move bytes with the settings of the router's launcher, and a larger young generation", () => {
  const launchers = readFileSync(resolve(import.meta.dirname, "../scripts/bootstrap.sh"), "utf8");
  const [, ofRouter = ""] = /!= router \] \|\| exec \$2 (.*) \$3 /.exec(launchers) ?? [];
  const young = "--max-semi-space-size=";
  const sizeOf = (options: readonly string[]) =>
    Number(options.find((one) => one.startsWith(young))?.slice(young.length));
  const others = (options: readonly string[]) => options.filter((one) => !one.startsWith(young));
  const router = ofRouter.split(" ");
  expect(others(HOLDER_NODE_OPTIONS)).toEqual(others(router));
  expect(sizeOf(HOLDER_NODE_OPTIONS)).toBeGreaterThan(sizeOf(router));
});
