import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EXPECTED_FORMAT } from "../src/agent/registry/expected-file.ts";
import { REGISTRY_FORMAT } from "../src/agent/registry/registry.ts";
import { loadDocument } from "../src/base/atomic-file.ts";
import { createFakeClock } from "../src/base/clock.fake.ts";
import { systemClock } from "../src/base/clock.ts";
import { createMemoryLog } from "../src/base/log.ts";
import { parseRemoteKey, publicTextOf } from "../src/contract/remote/remote-key.ts";
import { TUNNEL_ROLES, type TunnelRole } from "../src/contract/tunnel-spec.ts";
import type { Workload } from "../src/contract/workload.ts";
import { outcomeOf } from "../src/holder/remote-world.fake.ts";
import { createProofHub, newKeyPair } from "../src/remote/proof-hub.fake.ts";
import { proveToBox } from "../src/remote/proven-carrier.ts";
import { createWindowLedger } from "../src/remote/receive-window.ts";
import { createRemoteSession } from "../src/remote/remote-session.ts";
import { createRouterDialler } from "../src/remote/router-dialler.ts";
import { ROUTER_ID, startRouter, ticketFor } from "../src/router/router.fake.ts";
import { freePorts } from "./free-port.ts";
import {
  BOX_ID,
  buildPackage,
  createInstalledAgent,
  type InstalledAgent,
  repackAs,
  smallStream,
} from "./installed-agent.ts";
import { createTestServer, type TestServer } from "./server.ts";
import { createSystemdBox, type SystemdBox, systemdBoxProblem } from "./systemd-box.ts";
import { openEcho, startEcho } from "./tunnel-pair.ts";

const problem = systemdBoxProblem();
const isLong = process.env["SLUICE_TEST_LONG"] === "1";
const POWER_CUTS = isLong ? 50 : 4;
const SETUP_MS = 180_000;
const title = `the package in a booted systemd${problem === undefined ? "" : ` (skipped: ${problem})`}`;

// One box and one story: each test goes on where the one before it ended.
describe.skipIf(problem !== undefined)(title, () => {
  let directory: string;
  let deb: string;
  let box: SystemdBox;
  let server: TestServer;
  let agent: InstalledAgent;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "sluice-package-"));
    [deb, box, server] = await Promise.all([
      buildPackage(directory),
      createSystemdBox(),
      createTestServer({ port: 0, rtmpPort: 0, beatMs: 1000 }),
    ]);
    agent = createInstalledAgent(box);
    await box.boot();
  }, SETUP_MS);
  afterAll(async () => {
    await box?.[Symbol.asyncDispose]();
    await server?.close();
    if (directory !== undefined) rmSync(directory, { recursive: true });
  }, SETUP_MS);

  const journal = (...args: string[]) => box.ok("journalctl", "--no-pager", "-o", "cat", ...args);
  const dropIn = async (path: string, line: string) => {
    mkdirSync(join(box.root, path, ".."), { recursive: true });
    writeFileSync(join(box.root, path), `[Service]\n${line}\n`);
    await box.ok("systemctl", "daemon-reload");
  };
  const mainPid = async () => Number(await agent.property("MainPID"));
  const connects = () => server.rtmp?.connects("cam-1") ?? 0;
  /** Process ids that the agent names are the box's own. */
  const isAlive = async (pid: number | undefined) => (await box.run("test", "-d", `/proc/${pid}`)).code === 0;

  test("installing starts it: unconfigured it is healthy and idle, and one journal line says what to set", async () => {
    await showBootId(box);
    await agent.install(deb);
    expect(await agent.property("ActiveState")).toBe("active");
    expect((await agent.status()).workloads).toEqual([]);
    const warnings = (await journal("-t", "sluice-agent", "-p", "warning")).trim().split("\n");
    const what = warnings.filter((line) => !line.includes("metrics.listen"));
    expect(what).toEqual([expect.stringMatching(/Not configured.*Set link\.endpoint in \/etc\/sluice\/agent\.yaml/)]);
    expect(await agent.property("StatusText")).toBe("no workloads; not configured (set link.endpoint)");
    expect(await agent.property("NRestarts")).toBe("0");
  });

  test("configured, a stream runs under the unit's hardening, as its own user", async () => {
    agent.configure(server);
    await box.ok("systemctl", "restart", "sluice-agent");
    server.putStreams(smallStream(server, "cam-1"));
    const { pid } = await agent.untilRunning("cam-1");
    await server.rtmp?.untilPublishing("cam-1", AbortSignal.timeout(20_000));
    const facts = await box.ok("cat", `/proc/${pid}/status`);
    expect(facts).toMatch(/^NoNewPrivs:\s*1$/m);
    expect(facts).toMatch(/^CapEff:\s*0+$/m);
    expect(facts).toMatch(/^Seccomp:\s*2$/m);
    expect((await box.ok("cat", `/proc/${pid}/oom_score_adj`)).trim()).toBe("300");
    expect((await box.ok("stat", "-c", "%U", `/proc/${pid}`)).trim()).toBe("sluice");
  });

  test("a tunnel's ends come up under the unit's hardening, and a restart of the unit cuts nobody", async () => {
    const { stdout: recommends } = await promisify(execFile)("dpkg-deb", ["--field", deb, "Recommends"]);
    expect(recommends.trim()).toBe("stunnel4 (>= 3:5.60), openssl");
    const source = await startEcho();
    const [gateway = 0, entry = 0] = await freePorts(2);
    const end = (role: TunnelRole, peerCertificates: string[]): Workload => {
      const [listen, connect] = role === "producer" ? [gateway, source.port] : [entry, gateway];
      const legs = [{ listen: { address: "127.0.0.1", port: listen }, connect: { host: "127.0.0.1", port: connect } }];
      const security = { kind: "cert", keyGeneration: 1, peerCertificates } as const;
      return { kind: "tunnel", id: `t-1.${role}`, spec: { uid: "t-1", role, legs, security: { ...security } } };
    };
    const tunnel = async (role: TunnelRole) => (await agent.workload(`t-1.${role}`))?.tunnel;
    const certificates = async () =>
      (await Promise.all(TUNNEL_ROLES.map(tunnel))).map((one) => one?.certificates?.[0]?.pem);
    const pids = () => Promise.all(TUNNEL_ROLES.map(async (role) => (await agent.workload(`t-1.${role}`))?.pid));
    const untilUp = () =>
      agent.until(async () => {
        const ends = await Promise.all(TUNNEL_ROLES.map(tunnel));
        return ends.every((one) => one?.phase === "up") ? ends : undefined;
      }, "both ends are up");
    try {
      server.putStreams(...TUNNEL_ROLES.map((role) => end(role, [])));
      const [producer = "", consumer = ""] = await agent.until(async () => {
        const found = await certificates();
        return found.every((pem) => pem !== undefined) ? found : undefined;
      }, "both ends tell their certificate");
      server.putStreams(end("producer", [consumer]), end("consumer", [producer]));
      for (const one of await untilUp()) expect(one?.proof?.attacks.every(({ isRefused }) => isRefused)).toBe(true);
      const before = await pids();
      for (const pid of before) {
        const facts = await box.ok("cat", `/proc/${pid}/status`);
        expect(facts).toMatch(/^NoNewPrivs:\s*1$/m);
        expect(facts).toMatch(/^CapEff:\s*0+$/m);
        expect(facts).toMatch(/^Seccomp:\s*2$/m);
        expect((await box.ok("stat", "-c", "%U", `/proc/${pid}`)).trim()).toBe("sluice");
      }
      const keys = join(box.root, "var/lib/sluice/workloads/t-1.producer");
      expect(statSync(join(keys, "own-1.pem")).mode & 0o777).toBe(0o600);
      const echo = await openEcho(entry);
      expect(await echo.say("through")).toBe("through");
      await box.ok("systemctl", "restart", "sluice-agent");
      await untilUp();
      expect(await pids()).toEqual(before);
      expect(await echo.say("still")).toBe("still");
      echo.close();
      server.set.remove(["t-1.producer", "t-1.consumer"]);
      await agent.until(async () => !existsSync(keys), "its keys are gone");
      expect((await box.run("pgrep", "-x", "stunnel4?")).code).toBe(1);
    } finally {
      source.close();
    }
  });

  test("a remote session runs under the unit's hardening, and neither a restart nor a stop of the unit ends it", async () => {
    const router = await startRouter();
    const dialler = createRouterDialler({ client: "test/1" }, { clock: systemClock, authorities: () => [] });
    agent.configure(server, "policy: {remote: {operators: [ada], commands: [/bin/cat]}}\n");
    await box.ok("systemctl", "restart", "sluice-agent");
    await agent.untilRunning("cam-1");
    const id = randomUUID();
    const place = { id: ROUTER_ID, url: router.url };
    const session = createRemoteSession(
      { side: "operator", program: "test/1" },
      { clock: systemClock, newId: randomUUID, ledger: createWindowLedger() },
    );
    try {
      const argv = ["/bin/cat"];
      const offered = {
        session: id,
        router: place,
        attempt: 1,
        operator: "ada",
        operation: { kind: "exec" as const, argv, pty: false, detach: false },
      };
      const hub = createProofHub();
      const { privateKey, key } = newKeyPair();
      const keyPath = join(box.root, "var/lib/sluice/remote_key.pem");
      const proof = {
        session: id,
        box: BOX_ID,
        attempt: 1,
        isSealed: false,
        ticket: hub.ticketFor(offered, { box: BOX_ID, key }),
        privateKey,
        boxKey: publicTextOf(parseRemoteKey(readFileSync(keyPath, "utf8"), keyPath)),
      };
      server.commands.send({
        id: `c-${id}`,
        name: "remote",
        deadlineMs: Date.now() + 60_000,
        args: {
          ...offered,
          ticket: ticketFor({ sid: id, side: "box" }),
          proof: hub.proof(),
          limits: { idleSeconds: 600, maxSeconds: 600, resumeSeconds: 120 },
        },
      });
      const target = { router: place, ticket: ticketFor({ sid: id }), traffic: "bulk", isSealed: false } as const;
      const carrier = await dialler.join(target, {}, AbortSignal.timeout(60_000));
      session.carry(await proveToBox(carrier, proof, { clock: systemClock })).catch(() => undefined);
      const channel = session.open({
        kind: "exec",
        argv,
        env: {},
        cwd: undefined,
        user: undefined,
        pty: undefined,
        stdin: true,
      });
      const outcome = outcomeOf(channel);
      const { pid } = await channel.opened;
      const facts = await box.ok("cat", `/proc/${pid}/status`);
      expect(facts).toMatch(/^NoNewPrivs:\s*1$/m);
      expect(facts).toMatch(/^CapEff:\s*0+$/m);
      expect(facts).toMatch(/^Seccomp:\s*2$/m);
      expect((await box.ok("stat", "-c", "%U", `/proc/${pid}`)).trim()).toBe("sluice");
      const holder = /^PPid:\s*(\d+)$/m.exec(facts)?.[1] ?? "";
      const input = channel.writable("in");
      input.write("begun ");
      await box.ok("systemctl", "restart", "sluice-agent");
      await agent.untilRunning("cam-1");
      input.write("restarted ");
      await box.ok("systemctl", "stop", "sluice-agent");
      expect(await agent.property("ActiveState")).toBe("inactive");
      input.end("stopped");
      const { how, isWhole, text } = await outcome;
      expect({ how, isWhole, text }).toEqual({
        how: { kind: "code", code: 0 },
        isWhole: true,
        text: "begun restarted stopped",
      });
      await box.ok("kill", holder);
    } finally {
      session.close();
      dialler.close();
      await router.close();
    }
    agent.configure(server);
    await box.ok("systemctl", "start", "sluice-agent");
    await agent.untilRunning("cam-1");
  });

  test("systemctl restart keeps the stream: the same PID, and no RTMP reconnect", async () => {
    const before = await agent.workload("cam-1");
    const connected = connects();
    const oldMain = await mainPid();
    await box.ok("systemctl", "restart", "sluice-agent");
    const after = await agent.untilRunning("cam-1");
    expect(await mainPid()).not.toBe(oldMain);
    expect(after.pid).toBe(before?.pid);
    expect((await agent.status()).verdict).toBe("restart");
    expect(connects()).toBe(connected);
  });

  test("a workload speaks under its own identifier, and the unit's warnings leave it out", async () => {
    const { pid } = await agent.untilRunning("cam-1");
    await box.ok("kill", "-KILL", String(pid));
    await agent.until(async () => (await agent.untilRunning("cam-1")).pid !== pid, "cam-1 runs again");
    const refused: Workload = {
      kind: "stream",
      id: "cam-9",
      spec: { input: { url: "rtsp://127.0.0.1:1/none" }, outputs: [{ url: "rtmp://127.0.0.1:1/x/y" }] },
    };
    server.putStreams(refused);
    const own = await agent.until(async () => {
      const lines = await journal("-t", "sluice-cam-9");
      return lines.includes("refused") ? lines : undefined;
    }, "FFmpeg's own words are in the journal");
    expect(own).not.toMatch(/^\[(?:STREAM|HEALTH)\]/m);
    const warnings = await journal("-u", "sluice-agent", "-t", "sluice-agent", "-p", "warning");
    expect(warnings).toContain("[STREAM]");
    expect(warnings).not.toContain("[RECONCILE] Reconciliation completed");
    expect(await journal("-t", "sluice-agent")).toContain("[RECONCILE] Reconciliation completed");
    server.set.remove(["cam-9"]);
  });

  test("the watchdog ends a hung agent; the stream lives, and the next agent adopts it", async () => {
    await dropIn("etc/systemd/system/sluice-agent.service.d/watchdog.conf", "WatchdogSec=6");
    await box.ok("systemctl", "restart", "sluice-agent");
    const { pid } = await agent.untilRunning("cam-1");
    const connected = connects();
    const hung = await mainPid();
    await systemClock.delay(8000);
    expect(await mainPid()).toBe(hung);
    await box.ok("kill", "-STOP", String(hung));
    await agent.until(async () => ![0, hung].includes(await mainPid()), "another agent runs");
    await agent.until(async () => (await agent.untilRunning("cam-1")).pid === pid, "cam-1 is adopted");
    expect(await journal("-u", "sluice-agent")).toContain("Watchdog timeout");
    expect(connects()).toBe(connected);
    rmSync(join(box.root, "etc/systemd/system/sluice-agent.service.d/watchdog.conf"));
    await box.ok("systemctl", "daemon-reload");
  });

  test("upgrade and downgrade keep the stream, and change the agent", async () => {
    const { pid } = await agent.untilRunning("cam-1");
    const connected = connects();
    const newer = await repackAs("1.1.0", deb);
    for (const [file, version] of [
      [newer, "1.1.0"],
      [deb, "1.0.0"],
    ] as const) {
      await agent.install(file);
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

  test("a reboot is judged as one: a new boot id, and streams come back from the server's snapshot", async () => {
    const before = await agent.status();
    await box.reboot();
    const after = await agent.until(async () => {
      const now = await agent.status();
      return now.verdict === "reboot" ? now : undefined;
    }, "the agent judges a reboot");
    expect(after.bootId).not.toBe(before.bootId);
    const hardening = ["ProtectProc", "ProtectKernelTunables", "ProtectControlGroups"];
    expect(await Promise.all(hardening.map(agent.property))).toEqual(["invisible", "yes", "yes"]);
    // However long this machine has been up: the boot id decides.
    expect(await journal("-b", "-t", "sluice-agent")).toContain("[BOOT] Fresh boot detected (uptime: ");
    await agent.untilRunning("cam-1");
    await server.rtmp?.untilPublishing("cam-1", AbortSignal.timeout(20_000));
    const publishers = (await box.ok("pgrep", "-c", "-x", "ffmpeg")).trim();
    expect(publishers).toBe("1");
  });

  test(
    `a power cut in the middle of writes, ${POWER_CUTS} times, never loses what was last known good`,
    async () => {
      const stateDir = join(box.root, "var/lib/sluice");
      const bootIds = new Set<string>();
      for (let cut = 0; cut < POWER_CUTS; cut++) {
        const { bootId } = await agent.until(() => agent.status(), "the agent answers");
        bootIds.add(bootId);
        const told = () => {
          const report = server.reports.latestOf(BOX_ID)?.report;
          return report?.bootId === bootId ? report.applied.revision : undefined;
        };
        await agent.until(async () => told() !== undefined, "the agent has applied the server's set");
        // Each change stops one FFmpeg and starts another: several writes of both documents.
        const churn = new AbortController();
        const churning = (async () => {
          for (let step = 0; !churn.signal.aborted; step++) {
            const fps = 5 + ((cut + step) % 5);
            const stream = smallStream(server, `churn-${step % 2}`);
            server.putStreams({
              ...stream,
              spec: { ...stream.spec, input: { url: `test://bars?size=160x120&fps=${fps}` } },
            });
            await systemClock.delay(60, churn.signal).catch(() => undefined);
          }
        })();
        await systemClock.delay(250 + ((cut * 137) % 400));
        const acknowledged = told() ?? 0;
        await box.powerCut();
        churn.abort();
        await churning;

        const copy = join(directory, `cut-${cut}`);
        cpSync(stateDir, copy, { recursive: true, filter: (path) => !path.endsWith(".sock") });
        const deps = { clock: createFakeClock(), log: createMemoryLog(), signal: AbortSignal.abort() };
        const expected = loadDocument(join(copy, "persistent_state.json"), EXPECTED_FORMAT, deps);
        const registry = loadDocument(join(copy, "registry.json"), REGISTRY_FORMAT, deps);
        expect([...expected.problems, ...registry.problems], `cut ${cut}`).toEqual([]);
        expect(registry.data, `cut ${cut}`).toBeDefined();
        expect(revisionOf(expected.data)).toBeGreaterThanOrEqual(acknowledged);
        await box.boot();
      }
      await agent.untilRunning("cam-1");
      expect((await agent.status()).verdict).toBe("reboot");
      expect(bootIds.size).toBe(POWER_CUTS);
    },
    POWER_CUTS * 10_000 + 30_000,
  );

  test("stopping leaves streams; removing the package ends them; purging takes the state away", async () => {
    const { pid } = await agent.untilRunning("cam-1");
    await box.ok("systemctl", "stop", "sluice-agent");
    expect(await isAlive(pid)).toBe(true);
    await box.ok("systemctl", "start", "sluice-agent");
    await agent.until(async () => (await agent.untilRunning("cam-1")).pid === pid, "cam-1 is adopted");

    await box.ok("dpkg", "--remove", "sluice");
    expect(await isAlive(pid)).toBe(false);
    expect((await box.run("pgrep", "-x", "ffmpeg")).code).toBe(1);
    expect(existsSync(join(box.root, "var/lib/sluice"))).toBe(true);
    await box.ok("dpkg", "--purge", "sluice");
    expect(existsSync(join(box.root, "var/lib/sluice"))).toBe(false);
    expect(existsSync(join(box.root, "etc/sluice"))).toBe(false);
    expect((await box.run("systemctl", "cat", "sluice-agent")).code).not.toBe(0);
  });
});

/**
 * nspawn lays the box's boot id over `/proc`, and a hardened unit gets a `/proc` without it: it would see this machine's.
 * So it is laid there once more, for the unit, which keeps all of its hardening (docs/install.md).
 */
async function showBootId(box: SystemdBox): Promise<void> {
  const file = (path: string, lines: readonly string[]) => {
    mkdirSync(join(box.root, path, ".."), { recursive: true });
    writeFileSync(join(box.root, path), `${lines.join("\n")}\n`);
  };
  const copy = "ExecStart=/bin/cp --no-preserve=mode /proc/sys/kernel/random/boot_id /run/boot_id";
  file("etc/systemd/system/boot-id.service", ["[Service]", "Type=oneshot", "RemainAfterExit=yes", copy]);
  file("etc/systemd/system/sluice-agent.service.d/boot-id.conf", [
    "[Unit]",
    "Requires=boot-id.service",
    "After=boot-id.service",
    "[Service]",
    "BindReadOnlyPaths=/run/boot_id:/proc/sys/kernel/random/boot_id",
  ]);
  await box.ok("systemctl", "daemon-reload");
}

function revisionOf(data: unknown): number {
  const revision = typeof data === "object" && data !== null && "revision" in data ? data.revision : undefined;
  return typeof revision === "number" ? revision : -1;
}
