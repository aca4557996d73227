import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";
import { mountRoomProblem, needsMountRoom, openMountRoom } from "./mount-room.ts";

const START_MS = 30_000;
const IP_FORWARD = "/proc/sys/net/ipv4/ip_forward";

/** A real engine with all it keeps in a directory of its own: it can be frozen, killed and started again with the same files. */
export interface ContainerDaemon extends AsyncDisposable {
  readonly socketPath: string;
  /** Of Docker. */
  readonly dataDirectory: string;
  /** An image with nothing in it: what runs is mounted from this machine's `/usr`. */
  readonly image: string;
  signal(name: NodeJS.Signals): void;
  kill(): Promise<void>;
  start(): Promise<void>;
  /** One call of its API. */
  call(method: string, path: string, body?: unknown): Promise<unknown>;
}

interface Kind {
  readonly program: string;
  readonly image: string;
  /** Writes what the daemon reads, and says how it is started. */
  readonly prepare: (directory: string, socketPath: string) => Command;
}

interface Command {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

const DOCKER: Kind = {
  program: "dockerd",
  image: "sluice-test:1",
  prepare: (directory, socketPath) => ({
    args: [
      ...["--data-root", join(directory, "data"), "--exec-root", join(directory, "exec"), "-H", `unix://${socketPath}`],
      ...["--pidfile", join(directory, "pid"), "--storage-driver", "overlay2", "--bridge", "none"],
      // Nothing of this machine's own network is touched.
      ...["--iptables=false", "--ip6tables=false", "--ip-forward=false"],
      ...["--exec-opt", "native.cgroupdriver=cgroupfs", "--default-ulimit", "nofile=20000:20000"],
    ],
    env: {},
  }),
};

const PODMAN: Kind = {
  program: "podman",
  // Podman gives what it imports the tag `latest`, whatever is asked for.
  image: "localhost/sluice-test:latest",
  prepare: (directory, socketPath) => {
    const runc = existsSync("/usr/sbin/runc") ? "/usr/sbin/runc" : "/usr/bin/runc";
    writeFileSync(
      join(directory, "containers.conf"),
      `[engine]
cgroup_manager="cgroupfs"
events_logger="file"
runtime="runc"
[engine.runtimes]
runc=["${runc}"]
[containers]
log_driver="k8s-file"
default_ulimits=["nofile=20000:20000","nproc=32768:32768"]
[network]
network_config_dir="${directory}/networks"
`,
    );
    writeFileSync(
      join(directory, "storage.conf"),
      `[storage]\ndriver="overlay"\ngraphroot="${directory}/graph"\nrunroot="${directory}/run"\n`,
    );
    return {
      args: ["system", "service", "--time=0", `unix://${socketPath}`],
      env: {
        CONTAINERS_CONF: join(directory, "containers.conf"),
        CONTAINERS_STORAGE_CONF: join(directory, "storage.conf"),
      },
    };
  },
};

export const dockerRefusal = refusalOf("dockerd");
export const podmanRefusal = refusalOf("podman");

/** Why this engine cannot be started here; undefined where it can. */
function refusalOf(program: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin"];
  for (const needed of [program, "runc"]) {
    if (!folders.some((folder) => existsSync(join(folder, needed)))) return `${needed} is not installed`;
  }
  if (process.getuid?.() !== 0) return "only root can start containers";
  if (!/\boverlay$/m.test(readFileSync("/proc/filesystems", "utf8")))
    return "the kernel has no overlay file system here";
  const roomProblem = needsMountRoom() ? mountRoomProblem() : undefined;
  if (roomProblem !== undefined) return roomProblem;
  const groups = readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .find((line) => / \/sys\/fs\/cgroup\S* cgroup/.test(line));
  if (groups === undefined || / ro[, ]/.test(groups)) return "there are no control groups here that could be written";
  return undefined;
}

/** `dataMebibytes`: all that it may keep, images and files of containers together; in memory. */
export function startDocker({ dataMebibytes }: { readonly dataMebibytes?: number } = {}): Promise<ContainerDaemon> {
  return startDaemon(DOCKER, dataMebibytes);
}

export function startPodman(): Promise<ContainerDaemon> {
  return startDaemon(PODMAN);
}

async function startDaemon(kind: Kind, dataMebibytes?: number): Promise<ContainerDaemon> {
  const directory = await mkdtemp(join(tmpdir(), `sluice-${kind.program}-`));
  const socketPath = join(directory, "engine.sock");
  const forward = readFileSync(IP_FORWARD, "utf8");
  const command = kind.prepare(directory, socketPath);
  const dataDirectory = join(directory, "data");
  if (dataMebibytes !== undefined) {
    mkdirSync(dataDirectory);
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${dataMebibytes}m`, "tmpfs", dataDirectory]);
  }
  const room = needsMountRoom() ? await openMountRoom(directory) : undefined;
  const logFile = join(directory, "daemon.log");
  let daemon: ChildProcess | undefined;

  const call: ContainerDaemon["call"] = (method, path, body) =>
    ask(socketPath, { method, path, body: body === undefined ? undefined : Buffer.from(JSON.stringify(body)) });
  const end = async (signal: NodeJS.Signals) => {
    const ending = daemon;
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return;
    const exited = once(ending, "exit");
    ending.kill("SIGCONT");
    ending.kill(signal);
    // Only the one that ends here: by then there may be another.
    const late = systemClock.delay(10_000).then(() => void ending.kill("SIGKILL"));
    await Promise.race([exited, late]);
    await exited;
  };
  const start = async () => {
    // What a killed daemon leaves: the next one would wait for a containerd that is gone.
    await rm(join(directory, "exec/containerd/containerd.pid"), { force: true });
    await rm(join(directory, "pid"), { force: true });
    const log = openSync(logFile, "a");
    const path = [process.env["PATH"], "/usr/sbin", "/sbin"].join(delimiter);
    const [file, args] = room?.inside(kind.program, command.args, directory) ?? [kind.program, command.args];
    const child = spawn(file, [...args], {
      stdio: ["ignore", log, log],
      // Podman's monitor leaves a note of each container that ran out of memory where it was started.
      cwd: directory,
      env: { ...process.env, PATH: path, ...command.env },
    });
    daemon = child;
    const endMs = systemClock.monotonicMs() + START_MS;
    while (
      !(await call("GET", "/_ping").then(
        () => true,
        () => false,
      ))
    ) {
      if (child.exitCode !== null || systemClock.monotonicMs() > endMs) {
        const said = readFileSync(logFile, "utf8").split("\n").slice(-6).join("\n");
        throw new AppError("unavailable", `${kind.program} did not start; it said:\n${said}`);
      }
      await systemClock.delay(50);
    }
  };
  const close = async () => {
    try {
      // Containers, then the bridges that they were on.
      if (daemon?.exitCode !== null || daemon.signalCode !== null) await start();
      daemon?.kill("SIGCONT");
      const containers = namesIn(await call("GET", "/v1.41/containers/json?all=true"), "Id");
      await Promise.all(
        containers.map(async (id) => {
          await call("POST", `/v1.41/containers/${id}/kill`).catch(() => undefined);
          await call("DELETE", `/v1.41/containers/${id}?force=true`).catch(() => undefined);
        }),
      );
      for (const name of namesIn(await call("GET", "/v1.41/networks"), "Name")) {
        if (name.startsWith("sluice-")) await call("DELETE", `/v1.41/networks/${name}`).catch(() => undefined);
      }
    } finally {
      await end("SIGTERM");
      writeFileSync(IP_FORWARD, forward);
      const mounts = readFileSync("/proc/mounts", "utf8").split("\n");
      const left = mounts.map((line) => line.split(" ")[1] ?? "").filter((path) => path.startsWith(directory));
      for (const path of left.reverse()) execFileSync("umount", ["-l", path]);
      room?.[Symbol.dispose]();
      await rm(directory, { recursive: true, force: true, maxRetries: 5 });
    }
  };
  try {
    await start();
    await importImage(socketPath, directory, kind.image);
  } catch (thrown) {
    await close().catch(() => undefined);
    throw thrown;
  }
  return {
    socketPath,
    dataDirectory,
    image: kind.image,
    call,
    signal: (name) => void daemon?.kill(name),
    kill: () => end("SIGKILL"),
    start,
    [Symbol.asyncDispose]: close,
  };
}

/** Without a registry, and without a root file system of its own. */
async function importImage(socketPath: string, directory: string, image: string): Promise<void> {
  const tree = join(directory, "tree");
  for (const name of ["usr", "etc", "tmp", "proc", "sys", "dev", "run", "var"]) {
    mkdirSync(join(tree, name), { recursive: true });
  }
  for (const name of ["bin", "sbin", "lib", "lib64"]) symlinkSync(`usr/${name}`, join(tree, name));
  const body = execFileSync("tar", ["-C", tree, "-c", "."]);
  const [repo = "", tag = ""] = image.split(":");
  await ask(socketPath, { method: "POST", path: `/v1.41/images/create?fromSrc=-&repo=${repo}&tag=${tag}`, body });
}

function namesIn(list: unknown, field: string): readonly string[] {
  const each = (one: unknown) => (typeof one === "object" && one !== null && field in one ? Object.entries(one) : []);
  return (Array.isArray(list) ? list : []).flatMap((one) =>
    each(one).flatMap(([name, value]) => (name === field && typeof value === "string" ? [value] : [])),
  );
}

interface Call {
  readonly method: string;
  readonly path: string;
  readonly body: Buffer | undefined;
}

function ask(socketPath: string, { method, path, body }: Call): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path, method, agent: false, timeout: START_MS }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      answer.on("end", () => {
        const status = answer.statusCode ?? 0;
        if (status >= 400) reject(new AppError("unavailable", `${method} ${path}: ${status} ${text}`));
        else resolve(text.startsWith("{") || text.startsWith("[") ? parse(text) : undefined);
      });
      answer.on("error", reject);
    });
    sent.on("timeout", () => sent.destroy(new AppError("timeout", `${method} ${path} was not answered`)));
    sent.on("error", reject);
    sent.setHeader("content-type", "application/json");
    sent.end(body);
  });
}

/** What comes as a stream of lines is of no use here. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
