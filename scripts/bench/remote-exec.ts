import { randomFillSync } from "node:crypto";
import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import { createWarmOperator } from "../../test-server/warm-operator.ts";
import type { MeasureContext, Measurement, Row } from "./measurement.ts";
import { SSH_BOX, type SshSite, startSshSite } from "./peers/ssh.ts";
import { LOOPBACK } from "./remote/site-link.ts";
import { type SluiceSite, startSluiceSite } from "./remote/sluice-site.ts";

const WARM_UP = 60;
const WARM_RUNS = 200;
const COLD_RUNS = 20;
/** Until the keeper that the first command leaves behind has its connections. */
const SETTLE_MS = 2000;
const COPY_ROUNDS = 5;
const COPY_MIB = 256;
const MIB = 2 ** 20;

/** How long a command takes that does nothing, and a copy of files, beside OpenSSH on the same machine. */
export const remoteExec: Measurement = {
  name: "remote-exec",
  limitMs: 8 * 60_000,
  measure: async (context) => {
    const { lab, note, say } = context;
    const sites = { near: LOOPBACK, box: LOOPBACK };
    say("starting hub, router and agent");
    await using site = await startSluiceSite({ name: "exec", isTls: true, sites }, lab);
    await using stack = new AsyncDisposableStack();
    const ssh = await startSshSite("ssh", sites, lab).catch((thrown: unknown) => {
      note(`ssh could not be measured: ${messageOf(thrown)}`);
      return undefined;
    });
    if (ssh !== undefined) stack.use(ssh);
    return [...(await measureCommands(site, ssh, context)), ...(await measureCopies(site, ssh, context))];
  },
};

async function measureCommands(
  site: SluiceSite,
  ssh: SshSite | undefined,
  { lab, say, signal, isLong }: MeasureContext,
): Promise<readonly Row[]> {
  using operator = createWarmOperator(site, signal);
  const warm = { proved: [] as number[], closed: [] as number[], ssh: [] as number[] };
  const runTrue = async () => {
    const beganMs = performance.now();
    const { proved, outcome } = await operator.run(["true"]);
    const { exitCode, message } = await proved;
    if (exitCode !== 0) throw new AppError("unavailable", `true ended with ${exitCode}: ${message}`);
    const provedMs = performance.now() - beganMs;
    await outcome;
    return { provedMs, closedMs: performance.now() - beganMs };
  };
  const [file = "", ...args] = (await ssh?.keepConnection()) ?? [];
  const cold = { ours: [] as number[], ssh: [] as number[] };
  const kept = { ours: [] as number[], ssh: [] as number[] };
  for (let turn = 0; turn < WARM_UP; turn++) await runTrue();
  say("true over connections that are there");
  for (let turn = 0; turn < WARM_RUNS * (isLong ? 5 : 1); turn++) {
    const { provedMs, closedMs } = await runTrue();
    warm.proved.push(provedMs);
    warm.closed.push(closedMs);
    if (ssh !== undefined && turn % 5 === 0) warm.ssh.push(await timed(() => lab.run(file, [...args, "true"])));
  }
  say("true by a command that begins for it");
  for (let turn = 0; turn < COLD_RUNS; turn++) {
    cold.ours.push(await timed(() => site.run(["exec", site.box, "--no-stdin", "--", "true"])));
    if (ssh === undefined) continue;
    const [program = "", ...words] = ssh.words(SSH_BOX, "true");
    cold.ssh.push(await timed(() => lab.run(program, words)));
  }
  say("true by a command that begins for it, over a link that is kept");
  const once = () => site.run(["exec", "--persist", "10m", site.box, "--no-stdin", "--", "true"]);
  await once();
  await systemClock.delay(SETTLE_MS);
  for (let turn = 0; turn < COLD_RUNS; turn++) {
    kept.ours.push(await timed(once));
    if (ssh !== undefined) kept.ssh.push(await timed(() => lab.run(file, [...args, "true"])));
  }
  const peers = (name: string, samples: readonly number[]) => (ssh === undefined ? [] : [{ name, samples }]);
  return [
    {
      what: "`true` on a box, each in a session of its own, by a program that has its connections (TLS to the router)",
      unit: "ms",
      samples: warm.proved,
      bar: { of: "p50", limit: 15 },
      peers: peers("ssh with ControlMaster, its start included", warm.ssh),
    },
    { what: "… until its session is closed as well", unit: "ms", samples: warm.closed },
    {
      what: "`sluice exec BOX -- true`, its start included, from nothing",
      unit: "ms",
      samples: cold.ours,
      peers: peers("ssh", cold.ssh),
    },
    {
      what: "`sluice exec BOX -- true`, its start included, over the link that the one before has left",
      unit: "ms",
      samples: kept.ours,
      peers: peers("ssh with ControlMaster", kept.ssh),
    },
  ];
}

async function measureCopies(
  site: SluiceSite,
  ssh: SshSite | undefined,
  { lab, say }: MeasureContext,
): Promise<readonly Row[]> {
  const source = join(lab.directory, "source");
  mkdirSync(source);
  writeRandom(join(source, "file"), COPY_MIB);
  const times = { ours: [] as number[], ssh: [] as number[] };
  const copy = async (name: string, run: (to: string) => Promise<unknown>, into: number[]) => {
    const to = join(lab.directory, `copy-${name}`);
    mkdirSync(to);
    into.push(await timed(() => run(to)));
    await rm(to, { recursive: true, force: true, maxRetries: 5 });
  };
  const plain = ["-a", "--whole-file"];
  const ours = (to: string) => site.run(["rsync", ...plain, `${source}/`, `${site.box}:${to}/`]);
  const theirs = (to: string) => {
    const shell = ssh?.words().join(" ") ?? "";
    return lab.run("rsync", [...plain, "-e", shell, `${source}/`, `${SSH_BOX}:${to}/`]);
  };
  for (let round = 0; round < COPY_ROUNDS; round++) {
    say(`rsync: round ${round + 1} of ${COPY_ROUNDS}`);
    await copy("ours", ours, times.ours);
    if (ssh !== undefined) await copy("ssh", theirs, times.ssh);
  }
  return [
    {
      what: `rsync of a new file of ${COPY_MIB} MiB to a box`,
      unit: "ms",
      samples: times.ours,
      peers: ssh === undefined ? [] : [{ name: "rsync over ssh", samples: times.ssh }],
    },
    ...(ssh === undefined
      ? []
      : [
          {
            what: "… its time by that of rsync over ssh, turn by turn",
            unit: "×" as const,
            samples: times.ours.map((ms, round) => ms / (times.ssh[round] ?? Number.NaN)),
            bar: { of: "p50" as const, limit: 1.3 },
          },
        ]),
  ];
}

function writeRandom(path: string, mebibytes: number): void {
  const file = openSync(path, "w");
  const block = Buffer.allocUnsafe(MIB);
  for (let written = 0; written < mebibytes; written++) writeSync(file, randomFillSync(block));
  closeSync(file);
}

async function timed(act: () => Promise<unknown>): Promise<number> {
  const beganMs = performance.now();
  await act();
  return performance.now() - beganMs;
}
