import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";
import { freePort } from "./free-port.ts";

const MODULE = "/usr/lib/nginx/modules/ngx_rtmp_module.so";
const START_MS = 30_000;

/** Why no nginx-rtmp can be started here; undefined where it can. */
export const nginxRtmpRefusal = existsSync(MODULE) ? undefined : "libnginx-mod-rtmp is not installed";

/** A real nginx with its RTMP module: the server that can be frozen, and that remembers who published. */
export interface NginxRtmp extends AsyncDisposable {
  /** `rtmp://127.0.0.1:1935/live`: a key comes after it. */
  readonly url: string;
  signal(name: NodeJS.Signals): void;
}

export interface NginxRtmpPlace {
  readonly host: string;
  /** Network namespace to run in; root only. */
  readonly namespace?: string;
}

const HERE: NginxRtmpPlace = { host: "127.0.0.1" };

export async function startNginxRtmp(place: NginxRtmpPlace = HERE): Promise<NginxRtmp> {
  const { host, namespace } = place;
  const directory = await mkdtemp(join(tmpdir(), "sluice-nginx-"));
  const port = await freePort();
  await mkdir(join(directory, "temporary"));
  await writeFile(join(directory, "nginx.conf"), configuration(directory, `${host}:${port}`));
  const command = ["nginx", "-p", directory, "-c", join(directory, "nginx.conf"), "-e", "stderr"];
  const [file = "", ...args] = namespace === undefined ? command : ["ip", "netns", "exec", namespace, ...command];
  const nginx = spawn(file, args, { stdio: "ignore" });
  const close = async () => {
    const isOver = nginx.exitCode !== null || nginx.signalCode !== null || nginx.pid === undefined;
    const exited = isOver ? undefined : once(nginx, "exit");
    nginx.kill("SIGKILL");
    await exited;
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await untilListening(nginx, { host, port });
  } catch (error) {
    await close();
    throw error;
  }
  return {
    url: `rtmp://${host}:${port}/live`,
    signal: (name) => void nginx.kill(name),
    [Symbol.asyncDispose]: close,
  };
}

/** One process, so that a signal reaches all of the server. */
function configuration(directory: string, address: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${directory}/temporary/${name};`)
    .join(" ");
  return `load_module ${MODULE};
daemon off; master_process off; pid ${directory}/pid; error_log stderr error;
events {}
rtmp { server { listen ${address}; application live { live on; } } }
http { access_log off; ${temporary} }
`;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

async function untilListening(nginx: ChildProcess, address: Address): Promise<void> {
  const endMs = systemClock.monotonicMs() + START_MS;
  while (systemClock.monotonicMs() < endMs) {
    if (nginx.exitCode !== null) throw new AppError("unavailable", `nginx ended with ${nginx.exitCode}`);
    if (await isListening(address)) return;
    await systemClock.delay(25);
  }
  throw new AppError("timeout", `nginx did not listen on ${address.host}:${address.port} within ${START_MS} ms`);
}

function isListening({ host, port }: Address): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, host);
    const settle = (isOpen: boolean) => {
      socket.destroy();
      done(isOpen);
    };
    socket.once("connect", () => settle(true)).once("error", () => settle(false));
  });
}
