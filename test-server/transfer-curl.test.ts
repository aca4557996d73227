import { execFile, execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, it } from "vitest";
import { startHubProcess } from "./hub-process.ts";

const PAGE = resolve(import.meta.dirname, "../docs/transfers.md");

const hasCurl = spawnSync("curl", ["--version"], { stdio: "ignore" }).status === 0;
const LIMIT_MS = 30_000;

interface Said {
  readonly status: number;
  readonly body: unknown;
}

/** As a person types it: the options, and what curl prints; `-w` adds the status on a line of its own. */
function curl(...args: readonly string[]): Promise<Said> {
  return new Promise((resolve, reject) => {
    execFile("curl", ["-s", "-w", "\n%{http_code}", ...args], { timeout: LIMIT_MS }, (error, stdout, stderr) => {
      if (error !== null) return reject(new TypeError(`curl ${args.join(" ")}: ${error.message} ${stderr}`));
      const at = stdout.lastIndexOf("\n");
      const text = stdout.slice(0, at);
      resolve({ status: Number(stdout.slice(at + 1)), body: text === "" ? undefined : JSON.parse(text) });
    });
  });
}

it.skipIf(!hasCurl)(
  "the four examples of the old guide (health, submit, list, delete) work with curl as they are written, but for the token",
  { timeout: 60_000 },
  async () => {
    await using hub = await startHubProcess();
    const bearer = ["-H", `Authorization: Bearer ${hub.adminToken}`];
    const json = ["-H", "Content-Type: application/json"];

    // Health: nobody's token is asked for, and the worker of the guide may say what it has.
    expect(await curl(`${hub.origin}/healthz`)).toMatchObject({ status: 200 });
    const heartbeat =
      '{"worker_id": "worker-a", "status": "IDLE", "storage_paths": ["/data/source", "/data/dest"], "data_plane_endpoints": ["192.168.100.10"]}';
    expect(
      await curl("-X", "POST", `${hub.origin}/workers/heartbeat`, ...bearer, ...json, "-d", heartbeat),
    ).toMatchObject({ status: 200, body: { status: "ok" } });

    // The comma too many with which the guide was printed.
    const wrong = `{
  "request_id": "demo-1",
  "source_path": "/data/source",
  "destination_path": "/data/dest",
  "file_list": ["a.bin", "b.bin"],
  "chunk_size_mb": 64,
}`;
    const submit = (body: string) => curl("-X", "POST", `${hub.origin}/sync`, ...bearer, ...json, "-d", body);
    const refused = await submit(wrong);
    expect(refused.status).toBe(400);
    expect(refused.body).toMatchObject({
      error: {
        code: "invalid",
        message: "body: given a comma before } in line 6, column 22, where JSON has none; allowed: JSON",
      },
    });
    expect(await submit(wrong.replace("64,", "64"))).toEqual({
      status: 202,
      body: { status: "queued", request_id: "demo-1" },
    });

    expect(await curl(`${hub.origin}/sync`, ...bearer)).toMatchObject({
      status: 200,
      body: [
        { request_id: "demo-1", source_path: "/data/source", destination_path: "/data/dest", transferred_bytes: 0 },
      ],
    });
    expect(await curl(`${hub.origin}/sync`)).toMatchObject({ status: 401 });

    expect(await curl("-X", "DELETE", `${hub.origin}/sync/demo-1`, ...bearer)).toMatchObject({
      status: 200,
      body: { status: "deleted", request_id: "demo-1" },
    });
    expect(await curl(`${hub.origin}/sync/demo-1`, ...bearer)).toMatchObject({ status: 404 });
  },
);

it.skipIf(!hasCurl)(
  "the commands of the page about transfers work as they are written, one after the other",
  async () => {
    await using hub = await startHubProcess();
    const blocks = [...readFileSync(PAGE, "utf8").matchAll(/```sh\n(.*?)```/gs)].map(([, text = ""]) => text);
    const commands = blocks.flatMap((text) => text.replaceAll("\\\n", " ").trim().split("\n"));
    const said = commands.map((command) => {
      const environment = { PATH: process.env["PATH"], HUB: hub.origin, TOKEN: hub.adminToken };
      const options = { env: environment, timeout: LIMIT_MS, encoding: "utf8" } as const;
      return JSON.parse(execFileSync("sh", ["-c", command.replace(/^curl /, "curl -s ")], options));
    });
    expect(said).toMatchObject([
      { status: "queued", request_id: "demo-1" },
      { status: "ok" },
      { request_id: "demo-1", source_path: "/data/source", destination_path: "/data/dest" },
      { status: "ack" },
    ]);
    await expect.poll(async () => hub.call("GET", "/sync/demo-1")).toMatchObject({ state: "COMPLETED", files_done: 1 });
  },
);
