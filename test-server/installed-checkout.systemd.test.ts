import { cpSync, existsSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createInstalledAgent, type InstalledAgent, smallStream } from "./installed-agent.ts";
import { createTestServer, type TestServer } from "./server.ts";
import { createSystemdBox, type SystemdBox, systemdBoxProblem } from "./systemd-box.ts";

const ROOT = resolve(import.meta.dirname, "..");
const CHECKOUT = "opt/sluice";
const INSTALL = `/${CHECKOUT}/scripts/install`;
/** What `scripts/install` needs of a checkout, beside the npm packages. */
const TREE = ["src", "scripts", "packaging", "public", "package.json", "package-lock.json", "tsconfig.json"];
const SETUP_MS = 180_000;

const problem = systemdBoxProblem();
const title = `scripts/install from a checkout, in a booted systemd${problem === undefined ? "" : ` (skipped: ${problem})`}`;

// One box and one story: each test goes on where the one before it ended.
describe.skipIf(problem !== undefined)(title, () => {
  let box: SystemdBox;
  let server: TestServer;
  let agent: InstalledAgent;

  beforeAll(async () => {
    const packages = realpathSync(join(ROOT, "node_modules"));
    [box, server] = await Promise.all([
      createSystemdBox({ shown: { [packages]: `/${CHECKOUT}/node_modules` } }),
      createTestServer({ port: 0, rtmpPort: 0, beatMs: 1000 }),
    ]);
    for (const name of TREE) cpSync(join(ROOT, name), join(box.root, CHECKOUT, name), { recursive: true });
    agent = createInstalledAgent(box);
    await box.boot();
  }, SETUP_MS);
  afterAll(async () => {
    await box?.[Symbol.asyncDispose]();
    await server?.close();
  }, SETUP_MS);

  const isThere = (path: string) => existsSync(join(box.root, path));
  const connects = () => server.rtmp?.connects("cam-1") ?? 0;
  const ffmpegs = async () => (await box.run("pgrep", "-c", "-x", "ffmpeg")).stdout.trim();
  const setVersion = (version: string) => {
    const file = join(box.root, CHECKOUT, "package.json");
    writeFileSync(file, readFileSync(file, "utf8").replace(/"version": "[^"]*"/, `"version": "${version}"`));
  };

  test("installing compiles it, makes the user and the unit, and starts it unconfigured", async () => {
    await box.ok(INSTALL);
    expect(await agent.property("ActiveState")).toBe("active");
    expect(await agent.property("User")).toBe("sluice");
    expect(await agent.property("StatusText")).toContain("not configured");
    expect((await box.ok("systemctl", "is-enabled", "sluice-agent")).trim()).toBe("enabled");
    expect((await box.ok("sluice", "status", "--state-dir", "/var/lib/sluice", "--json")).trim()).toMatch(/^\{/);
  });

  test("installing again, another version and back, keeps the stream and what was configured", async () => {
    agent.configure(server);
    await box.ok("systemctl", "restart", "sluice-agent");
    server.putStreams(smallStream(server, "cam-1"));
    const { pid } = await agent.untilRunning("cam-1");
    await server.rtmp?.untilPublishing("cam-1", AbortSignal.timeout(20_000));
    const connected = connects();
    for (const version of ["9.9.0", "0.0.1"]) {
      setVersion(version);
      await box.ok(INSTALL);
      const status = await agent.until(async () => {
        const now = await agent.status();
        return now.agentVersion === version ? now : undefined;
      }, `version ${version} answers`);
      expect(status.verdict).toBe("restart");
      expect((await agent.untilRunning("cam-1")).pid).toBe(pid);
    }
    expect(connects()).toBe(connected);
    expect(readFileSync(join(box.root, "etc/sluice/agent.yaml"), "utf8")).toContain(server.origin);
  });

  test("uninstalling ends agent and streams, and leaves configuration and state", async () => {
    await box.ok(INSTALL, "--uninstall");
    expect(await ffmpegs()).toBe("0");
    expect((await box.run("systemctl", "cat", "sluice-agent")).code).not.toBe(0);
    expect((await box.run("test", "-e", "/usr/local/bin/sluice")).code).toBe(1);
    expect(["etc/sluice/agent.yaml", "var/lib/sluice/registry.json"].filter(isThere)).toHaveLength(2);
    await box.ok(INSTALL);
    await agent.untilRunning("cam-1");
  });

  test("purging takes those away too, but not the user", async () => {
    await box.ok(INSTALL, "--uninstall", "--purge");
    expect(await ffmpegs()).toBe("0");
    expect(["etc/sluice", "var/lib/sluice", "var/cache/sluice"].filter(isThere)).toEqual([]);
    expect((await box.run("id", "sluice")).code).toBe(0);
  });
});
