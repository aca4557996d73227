import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";

/** Why no nginx can be started here; undefined where it can. */
export const nginxRefusal = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin"].some((folder) =>
  existsSync(join(folder, "nginx")),
)
  ? undefined
  : "nginx is not installed";

export interface NginxBalancerWish {
  readonly port: number;
  /** Ports on loopback; one that refuses is passed over for a second. */
  readonly servers: readonly number[];
  /** Connections on which nothing comes for so long are cut, in both directions. */
  readonly idleSeconds: number;
}

const START_MS = 30_000;
const POLL_MS = 50;

/** A real nginx before several hubs over plain HTTP, buffering as it does unless it is told otherwise. Resolves when it listens. */
export async function startNginxBalancer(wish: NginxBalancerWish): Promise<AsyncDisposable> {
  const directory = await mkdtemp(join(tmpdir(), "sluice-balancer-"));
  await mkdir(join(directory, "temporary"));
  const file = join(directory, "nginx.conf");
  await writeFile(file, configuration(directory, wish));
  const nginx = spawn("nginx", ["-p", directory, "-c", file, "-e", "stderr"], {
    env: { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin` },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const close = async () => {
    const isOver = nginx.exitCode !== null || nginx.signalCode !== null || nginx.pid === undefined;
    const exited = isOver ? undefined : once(nginx, "exit");
    nginx.kill("SIGKILL");
    await exited;
    await rm(directory, { recursive: true, force: true });
  };
  const endMs = systemClock.monotonicMs() + START_MS;
  while (!(await isListening(wish.port))) {
    if (nginx.exitCode !== null || systemClock.monotonicMs() > endMs) {
      await close();
      throw new AppError("unavailable", "nginx does not listen");
    }
    await systemClock.delay(POLL_MS);
  }
  return { [Symbol.asyncDispose]: close };
}

/** One process, so that one signal ends all of it. */
function configuration(directory: string, { port, servers, idleSeconds }: NginxBalancerWish): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${directory}/temporary/${name};`)
    .join(" ");
  const upstream = servers.map((server) => `server 127.0.0.1:${server} max_fails=1 fail_timeout=1s;`).join(" ");
  return `daemon off; master_process off; pid ${directory}/pid; error_log stderr emerg;
events { worker_connections 1024; }
http {
  access_log off; ${temporary}
  upstream hubs { ${upstream} }
  server {
    listen 127.0.0.1:${port};
    client_max_body_size 64m;
    location / {
      proxy_pass http://hubs;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_buffering on;
      proxy_connect_timeout 5s;
      proxy_read_timeout ${idleSeconds}s;
      proxy_send_timeout ${idleSeconds}s;
    }
  }
}
`;
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
