import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";
import { readProcText } from "../src/base/proc-text.ts";
import { createProcessTable } from "../src/base/process-table.ts";
import { sendSignal } from "../src/base/send-signal.ts";
import { boxViewSchema } from "../src/contract/fleet/box-view.ts";
import { enrolmentCreatedSchema } from "../src/contract/fleet/token.ts";
import { membersOf } from "../src/holder/kill-ladder.ts";
import { type AgentWorld, createAgentWorld } from "./agent-world.ts";
import { type HubProcess, startHubProcess } from "./hub-process.ts";
import { MAIN_PROGRAM } from "./main-program.ts";
import { runSluice } from "./sluice-command.ts";

/** A real hub with its own router, and a real box that allows its operators everything. */
export interface RemoteWorld extends AsyncDisposable {
  hub(): HubProcess;
  /** SIGKILL, and another one in its place with the same store and port. */
  killHub(): Promise<void>;
  readonly box: AgentWorld;
  readonly boxId: string;
  /** Of this test; goes with the world. */
  readonly directory: string;
  /** What an operator's `sluice` needs to reach the hub. */
  environment(): Readonly<Record<string, string>>;
  /** Of the box. */
  holderPids(): readonly number[];
  /** Starts `sluice ARGS` as an operator would. */
  start(args: readonly string[], env?: Readonly<Record<string, string>>): Running;
}

export interface Running {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<RunEnd>;
}

export interface RunEnd {
  readonly code: number | null;
  readonly out: Buffer;
  readonly err: string;
}

export interface RemoteWorldOptions {
  /** Further flags of the hub. */
  readonly hubFlags?: readonly string[];
  /** Address to listen on. */
  readonly hubHost?: string;
  /** The hub, and with it its router, has TLS on its port. */
  readonly hasTls?: boolean;
  /** Where the box lives. */
  readonly namespace?: string;
  /** Flags of the agent's policy after `--policy-remote-`, in place of one that allows everything. */
  readonly policy?: Readonly<Record<string, string>>;
  /** Beside those of the policy. */
  readonly agentArguments?: readonly string[];
}

export async function createRemoteWorld(options: RemoteWorldOptions = {}): Promise<RemoteWorld> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "sluice-remote-"));
  stack.defer(() => rm(directory, { recursive: true, force: true, maxRetries: 5 }));
  const dataDir = join(directory, "hub");
  const { hubHost = "127.0.0.1", hubFlags = [], hasTls = false } = options;
  const hubOptions = { dataDir, host: hubHost, hasTls, flags: hubFlags };
  let hub = await startHubProcess(hubOptions);
  stack.defer(() => hub[Symbol.asyncDispose]());
  const policy = options.policy ?? {
    operators: "*",
    commands: "*",
    directories: "/",
    forward: "*",
    rsync: `${directory}:rw`,
    shell: "true",
    sessions: "app*",
  };
  const flags = Object.entries(policy).flatMap(([name, value]) => [`--policy-remote-${name}`, value]);
  const box = stack.use(
    await createAgentWorld({
      agentArguments: [
        ...flags,
        ...["--policy-session-commands", process.execPath, "--sessions-ports", "20900-20949"],
        ...(options.agentArguments ?? []),
      ],
      goesToHub: true,
      ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
      server: { rtmpPort: undefined },
    }),
  );
  // It outlives its agent by design: whoever made the world ends it, before the world does, which would leave its commands.
  stack.defer(() => {
    for (const pid of holdersOf(box.stateDir)) killWithCommands(pid);
  });
  const made = enrolmentCreatedSchema.parse(await hub.call("POST", "/v1/enrolments", { approve: true }));
  const { code, text } = await runSluice(box, ["enrol", made.token ?? "", "--hub", hub.origin]);
  if (code !== 0) throw new AppError("unavailable", `sluice enrol ended with ${code}: ${text}`);
  await box.startAgent();
  await box.until(async () => {
    const view = boxViewSchema.parse(await hub.call("GET", `/v1/boxes/${box.boxId}`));
    return view.connection === "online";
  }, `${box.boxId} is at the hub`);
  const environment = () => ({
    PATH: process.env["PATH"] ?? "",
    HOME: directory,
    XDG_STATE_HOME: join(directory, "state"),
    SLUICE_HUB: hub.origin,
    SLUICE_HUB_TOKEN: hub.adminToken,
    ...(hub.caFile === undefined ? {} : { SLUICE_HUB_CA: hub.caFile }),
  });
  const start = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Running => {
    const child = spawn(process.execPath, ["--no-warnings", MAIN_PROGRAM, ...args], {
      env: { ...environment(), ...env },
    });
    // A command that leaves takes its pipes with it.
    child.stdin.on("error", () => undefined);
    const out: Buffer[] = [];
    let err = "";
    child.stdout.on("data", (bytes: Buffer) => out.push(bytes));
    child.stderr.on("data", (bytes: Buffer) => {
      err += bytes.toString();
    });
    const ended = new Promise<RunEnd>((resolve) => {
      child.once("close", (status) => resolve({ code: status, out: Buffer.concat(out), err }));
    });
    return { child, ended };
  };
  const life = stack.move();
  const killHub = async () => {
    const { port, adminToken } = hub;
    await hub.kill();
    hub = await startHubProcess({ ...hubOptions, port, adminToken });
  };
  return {
    hub: () => hub,
    killHub,
    box,
    boxId: box.boxId,
    directory,
    environment,
    holderPids: () => holdersOf(box.stateDir),
    start,
    [Symbol.asyncDispose]: () => life.disposeAsync(),
  };
}

/** Each is named by the state directory of its box. */
function holdersOf(stateDir: string): readonly number[] {
  return createProcessTable()
    .pids()
    .filter((pid) => {
      const line = readProcText(`/proc/${pid}/cmdline`) ?? "";
      return line.includes("remote-holder") && line.includes(stateDir);
    });
}

/** A holder that is killed ends nothing: what it has started would stay on the machine. */
function killWithCommands(holderPid: number): void {
  const table = createProcessTable();
  const commands = table.pids().filter((pid) => table.stat(pid)?.parentPid === holderPid);
  sendSignal(holderPid, "SIGKILL");
  for (const member of commands.flatMap((command) => membersOf(command, table))) sendSignal(member, "SIGKILL");
}

/** A router of its own for the world's hub. `flags`: further ones. */
export async function startRemoteRouter(
  world: RemoteWorld,
  { id, port, publicUrl }: { readonly id: string; readonly port: number; readonly publicUrl?: string },
  flags: readonly string[] = [],
): Promise<Running> {
  const made = await world.hub().call("POST", "/v1/tokens", { name: id, role: "router" });
  const tokenFile = join(world.directory, `${id}.token`);
  await writeFile(tokenFile, (made as { token: string }).token);
  return world.start([
    ...["router", "--id", id, "--hub-url", world.hub().origin, "--hub-token-file", tokenFile],
    ...["--server-listen", `127.0.0.1:${port}`, "--server-public-url", publicUrl ?? `http://127.0.0.1:${port}`],
    ...flags,
  ]);
}

/** Looks until it is so. Rejects with `timeout`. */
export async function until(isSo: () => boolean | Promise<boolean>, what: string, timeoutMs = 20_000): Promise<void> {
  const endMs = systemClock.monotonicMs() + timeoutMs;
  while (!(await isSo())) {
    if (systemClock.monotonicMs() > endMs) throw new AppError("timeout", `not within ${timeoutMs} ms: ${what}`);
    await systemClock.delay(50);
  }
}
