import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OWN_SUBGROUP } from "../src/base/cgroup-branch.ts";

const UNIT = resolve(import.meta.dirname, "../packaging/sluice-agent.service");
/** Exposure in tenths, as docs/install.md tells it; 100 is a unit without any protection. */
const EXPOSURE_LIMIT = 20;
const hasTools = existsSync("/usr/bin/systemd-analyze");

describe.skipIf(!hasTools)(`the unit file${hasTools ? "" : " (skipped: needs systemd-analyze)"}`, () => {
  let directory: string;
  let unit: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "sluice-unit-"));
    unit = join(directory, "sluice-agent.service");
    // The program is not installed where tests run.
    writeFileSync(unit, readFileSync(UNIT, "utf8").replace(/^ExecStart=.*$/m, "ExecStart=/bin/true"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  test("has nothing that systemd would complain about", () => {
    const { status, stdout, stderr } = spawnSync("systemd-analyze", ["verify", unit], { encoding: "utf8" });
    // An unknown key is only said, with exit status 0.
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "", stderr: "" });
  });

  test(`is exposed to at most ${EXPOSURE_LIMIT / 10} of 10`, () => {
    const args = ["security", "--offline=true", "--no-pager", `--threshold=${EXPOSURE_LIMIT}`, unit];
    const { status, stdout } = spawnSync("systemd-analyze", args, { encoding: "utf8" });
    expect(stdout).toContain("Overall exposure level");
    expect(status, stdout).toBe(0);
  });
});

test("the drop-in for limits puts the agent where it looks for the groups of its streams", () => {
  const text = readFileSync(resolve(import.meta.dirname, "../packaging/limits.conf"), "utf8");
  expect(text).toContain(`\nDelegateSubgroup=${OWN_SUBGROUP}\n`);
  expect(text).toContain("\nDelegate=cpu memory\n");
  // A read-only hierarchy would take the agent's writes away again.
  expect(text).toContain("\nProtectControlGroups=no\n");
});

test("the unit never gives up, and leaves streams alone", () => {
  const text = readFileSync(UNIT, "utf8");
  for (const line of [
    "StartLimitIntervalSec=0",
    "Restart=always",
    "RestartPreventExitStatus=78",
    "KillMode=process",
    "OOMPolicy=continue",
    "RuntimeDirectoryPreserve=yes",
    "NotifyAccess=all",
  ]) {
    expect(text).toContain(`\n${line}\n`);
  }
});
