import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";
import { sendSignal } from "../src/base/send-signal.ts";
import { enrolmentCreatedSchema } from "../src/contract/fleet/token.ts";
import { type SyncProgress, syncProgressSchema } from "../src/contract/transfer/sync-progress.ts";
import { WORKER_COMMAND } from "../src/contract/transfer/worker-command.ts";
import { type AgentWorld, createAgentWorld } from "./agent-world.ts";
import { freePort } from "./free-port.ts";
import { type HubProcess, startHubProcess } from "./hub-process.ts";
import { runSluice } from "./sluice-command.ts";

/** A real hub and two real boxes, each with a storage and a transfer worker; what passes between them is metered. */
/** `twin`: a second box that has the storage of `to`. */
export type BoxName = "from" | "to" | "twin";

export interface TransferWorld extends AsyncDisposable {
  hub(): HubProcess;
  /** SIGKILL, and another one in its place with the same store and port; with other flags where they are given. */
  killHub(flags?: readonly string[]): Promise<void>;
  /** Of a store that was emptied: the hub is begun anew, and every box is enrolled with it anew. */
  beginAnew(): Promise<void>;
  /** SIGKILL; its agent begins another. */
  killWorker(box: BoxName): Promise<void>;
  signalWorker(box: BoxName, signal: NodeJS.Signals): void;
  workerPid(box: BoxName): number;
  /** One more hub on the same store; with the port where it is to be one that was there before. */
  startHub(port?: number): Promise<HubProcess>;
  /** As the hub knows it. */
  workerId(box: BoxName): string;
  box(name: BoxName): AgentWorld;
  /** Absolute: the storages' roots; streams of the boxes may write there too. */
  readonly from: string;
  readonly to: string;
  /** Of the hub: its store, unless that is elsewhere. */
  readonly hubDirectory: string;
  /** Between the two data planes, so far. */
  movedBytes(): number;
  submit(request: Readonly<Record<string, unknown>>): Promise<string>;
  progress(id: string): Promise<SyncProgress>;
  until<Value>(predicate: () => Value | Promise<Value>, what: string): Promise<NonNullable<Value>>;
}

const WAIT_MS = 60_000;
const ENROL_ATTEMPTS = 5;

export async function createTransferWorld(
  options: {
    readonly agentArguments?: readonly string[];
    readonly hubFlags?: readonly string[];
    /** Of its Node. */
    readonly hubRuntimeFlags?: readonly string[];
    /** `redis://…`; a file unless given. */
    readonly storeUrl?: string;
    /** Absolute: what `to` has; a directory of the world unless given. */
    readonly toStorage?: string;
    /** Of the first hub; a free one unless given. */
    readonly hubPort?: number;
    /** Where boxes reach the hubs; the first hub's own address unless given. */
    readonly publicUrl?: string;
    /** The hub, and with it its router, has TLS. */
    readonly hasTls?: boolean;
    /** False: no box listens. */
    readonly isReachable?: boolean;
    readonly hasTwin?: boolean;
    /** `from` is the only box, and has both storages. */
    readonly isOneBox?: boolean;
    /** Absolute: where the twin has the storage of `to`; there too unless given. */
    readonly twinStorage?: string;
  } = {},
): Promise<TransferWorld> {
  const { isReachable = true, hasTwin = false, isOneBox = false } = options;
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "sluice-transfer-"));
  stack.defer(() => rm(directory, { recursive: true, force: true, maxRetries: 5 }));
  const dataDir = join(directory, "hub");
  const { hubPort, publicUrl, storeUrl, hasTls = false } = options;
  const { hubRuntimeFlags: runtimeFlags = [] } = options;
  const store = {
    hasTls,
    runtimeFlags,
    ...(storeUrl === undefined ? {} : { storeUrl }),
    ...(publicUrl === undefined ? {} : { publicUrl }),
  };
  // Beside a store of one's own the key has no place by itself.
  const keyFile = join(directory, "secrets.key");
  writeFileSync(keyFile, `${randomBytes(32).toString("hex")}\n`, { mode: 0o600 });
  let hubFlags = [...(storeUrl === undefined ? [] : ["--secrets-key-file", keyFile]), ...(options.hubFlags ?? [])];
  let hub = await startHubProcess({
    dataDir,
    flags: hubFlags,
    ...store,
    // Another begins there when this one is killed: nobody may have the port meanwhile.
    port: hubPort ?? (await freePort()),
  });
  stack.defer(() => hub[Symbol.asyncDispose]());
  const names: readonly BoxName[] = isOneBox ? ["from"] : ["from", "to", ...(hasTwin ? (["twin"] as const) : [])];
  const to = options.toStorage ?? join(directory, "to");
  const storageOf = (name: BoxName) =>
    name === "from" ? join(directory, "from") : name === "twin" ? (options.twinStorage ?? to) : to;
  const storagesOf = (name: BoxName) => (isOneBox ? [storageOf(name), to] : [storageOf(name)]);
  const ports = { from: await freePort(), to: await freePort(), twin: await freePort() };
  const meters = {
    from: stack.use(await startMeter(ports.from)),
    to: stack.use(await startMeter(ports.to)),
    twin: stack.use(await startMeter(ports.twin)),
  };
  const boxes: Partial<Record<BoxName, AgentWorld>> = {};
  for (const name of names) {
    for (const storage of storagesOf(name)) mkdirSync(storage, { recursive: true });
    const box = stack.use(
      await createAgentWorld({
        agentArguments: [
          ...[
            "--transfer-storages",
            storagesOf(name)
              .map((storage) => `${storage}:rw`)
              .join(","),
          ],
          ...(isReachable ? ["--transfer-listen", `127.0.0.1:${ports[name]}`] : []),
          ...(isReachable ? ["--transfer-endpoints", `127.0.0.1:${meters[name].port}`] : []),
          ...["--policy-file-roots", storageOf(name)],
          ...(options.agentArguments ?? []),
        ],
        goesToHub: true,
        server: { rtmpPort: undefined },
      }),
    );
    await enrol(box, hub);
    await box.startAgent();
    boxes[name] = box;
  }
  const until: TransferWorld["until"] = (predicate, what) => {
    if (boxes.from === undefined) throw new AppError("internal", "there is no box");
    return boxes.from.until(predicate, what, WAIT_MS);
  };
  const workerOf = (name: BoxName) => findWorker(storageOf(name), isReachable ? ports[name] : undefined)?.pid;
  const untilAllWork = () =>
    until(
      async () => JSON.stringify(await hub.call("GET", "/workers")).split('"certificate_sha256"').length > names.length,
      "all workers at the hub",
    );
  await untilAllWork();
  const pidOf = (name: BoxName) => {
    const pid = workerOf(name);
    if (pid === undefined) throw new AppError("internal", `there is no worker of ${name}`);
    return pid;
  };
  const life = stack.move();
  return {
    hub: () => hub,
    killHub: async (flags) => {
      hubFlags = flags === undefined ? hubFlags : [...flags];
      const { port, adminToken } = hub;
      await hub.kill();
      hub = await startHubProcess({ dataDir, port, adminToken, flags: hubFlags, ...store });
    },
    beginAnew: async () => {
      const { port } = hub;
      await hub.kill();
      hub = await startHubProcess({ dataDir, port, flags: hubFlags, ...store });
      await Promise.all(
        Object.values(boxes).map(async (box) => {
          await box.killAgent("SIGTERM");
          await enrol(box, hub);
          await box.startAgent();
        }),
      );
      await untilAllWork();
    },
    killWorker: async (name) => {
      const pid = pidOf(name);
      sendSignal(pid, "SIGKILL");
      await until(() => workerOf(name) !== undefined && workerOf(name) !== pid, `another worker of ${name}`);
    },
    signalWorker: (name, signal) => sendSignal(pidOf(name), signal),
    workerPid: pidOf,
    startHub: (port) => {
      const { adminToken } = hub;
      return startHubProcess({ adminToken, flags: hubFlags, ...store, ...(port === undefined ? {} : { port }) });
    },
    workerId: (name) => findWorker(storageOf(name), isReachable ? ports[name] : undefined)?.id ?? "",
    box: (name) => {
      const box = boxes[name];
      if (box === undefined) throw new AppError("internal", "there is no box");
      return box;
    },
    from: join(directory, "from"),
    to,
    hubDirectory: dataDir,
    movedBytes: () => meters.from.bytes() + meters.to.bytes() + meters.twin.bytes(),
    submit: async (request) => {
      const answer = await hub.call("POST", "/sync", request);
      return typeof answer === "object" && answer !== null && "request_id" in answer ? String(answer.request_id) : "";
    },
    progress: async (id) => syncProgressSchema.parse(await hub.call("GET", `/sync/${id}`)),
    until,
    [Symbol.asyncDispose]: () => life.disposeAsync(),
  };
}

/** A balancer that cuts what is idle for seconds cuts this too on a busy machine: a person would try again. */
async function enrol(box: AgentWorld, hub: HubProcess): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const { token = "" } = enrolmentCreatedSchema.parse(await hub.call("POST", "/v1/enrolments", {}));
    const { code, text } = await runSluice(box, ["enrol", token]);
    if (code === 0) return;
    if (attempt === ENROL_ATTEMPTS || !/HTTP 50[24]/.test(text)) {
      throw new AppError("internal", `the box did not enrol: ${text}`);
    }
    await systemClock.delay(2000);
  }
}

/** What it is started with is in its arguments. */
function findWorker(
  storage: string,
  port: number | undefined,
): { readonly pid: number; readonly id: string } | undefined {
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, "utf8");
      if (!words.includes(`\0${WORKER_COMMAND}\0`) || !words.includes(`"${storage}"`)) continue;
      if (port !== undefined && !words.includes(`"port":${port}`)) continue;
      return { pid: Number(name), id: /"workerId":"([^"]+)"/.exec(words)?.[1] ?? "" };
    } catch {
      // Gone meanwhile.
    }
  }
  return undefined;
}

/** A relay that counts what passes, whoever dialled. */
async function startMeter(target: number) {
  let bytes = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const peer = connect({ host: "127.0.0.1", port: target });
    for (const [one, other] of [
      [client, peer],
      [peer, client],
    ] as const) {
      sockets.add(one);
      one.on("error", () => undefined);
      one.once("close", () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
    for (const side of [peer, client]) {
      side.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
    }
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    bytes: () => bytes,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((done) => {
        server.close(() => done());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
