import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { request } from "node:http";
import { join } from "node:path";
import { systemClock } from "../../../src/base/clock.ts";
import { AppError } from "../../../src/base/errors.ts";
import { createSqliteStore } from "../../../src/hub/store/sqlite/sqlite-store.ts";
import { freePort } from "../../../test-server/free-port.ts";

export interface HubProcess {
  readonly port: number;
  pid(): number;
  /** Resolves when it answers. */
  start(): Promise<void>;
  kill(): Promise<void>;
}

export interface Fleet {
  readonly file: string;
  readonly adminToken: string;
  readonly keys: ReadonlyMap<string, string>;
}

const START_MS = 90_000;
const ENROL_AT_ONCE = 200;

/** Writes a store with approved boxes, as if each had enrolled. */
export async function prepareFleet(directory: string, count: number): Promise<Fleet> {
  const file = join(directory, "hub.db");
  const store = createSqliteStore({ path: file }, { newId: () => randomBytes(8).toString("hex") });
  const nowMs = systemClock.wallMs();
  const keys = new Map(
    Array.from({ length: count }, (_one, at) => [`box-${at}`, randomBytes(32).toString("base64url")]),
  );
  const adminToken = `slo_${randomBytes(32).toString("base64url")}`;
  try {
    await store.operatorTokens.createFirst(
      { id: "bench", name: "bench", role: "admin", hash: hashOf(adminToken), createdMs: nowMs },
      { nowMs },
    );
    const all = [...keys];
    for (let from = 0; from < all.length; from += ENROL_AT_ONCE) {
      await Promise.all(
        all.slice(from, from + ENROL_AT_ONCE).map(async ([boxId, key]) => {
          const hash = randomBytes(8).toString("hex");
          const token = { hash, id: hash, createdMs: nowMs, expiresMs: nowMs + 1000, labels: {}, approve: true };
          await store.enrolmentTokens.create(token, { nowMs });
          await store.boxes.enrol(
            { tokenHash: hash, boxId, name: boxId, labels: { site: "bench" }, keyHash: hashOf(key) },
            { nowMs },
          );
        }),
      );
    }
  } finally {
    await store.close();
  }
  return { file, adminToken, keys };
}

export async function createHubProcess(directory: string, fleet: Fleet): Promise<HubProcess> {
  const port = await freePort();
  let child: ChildProcess | undefined;
  const kill = async () => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  };
  return {
    port,
    pid: () => child?.pid ?? 0,
    kill,
    start: async () => {
      const program = join(import.meta.dirname, "../../../scripts/sluice");
      child = spawn(
        program,
        [
          ...["hub", "--server-listen", `127.0.0.1:${port}`, "--tls-mode", "off"],
          ...["--store-url", `sqlite:${fleet.file}`, "--data-dir", join(directory, "hub")],
          ...["--limits-operator-per-second", "10000", "--limits-box-per-second", "1000"],
          ...["--limits-address-per-second", "10000", "--log-level", "warn"],
        ],
        { stdio: ["ignore", "ignore", "inherit"] },
      );
      const limitMs = systemClock.monotonicMs() + START_MS;
      while (!(await answers(port))) {
        if (child.exitCode !== null) throw new AppError("unavailable", `the hub ended with ${child.exitCode}`);
        if (systemClock.monotonicMs() > limitMs) throw new AppError("timeout", "the hub did not answer in time");
        await systemClock.delay(20);
      }
    },
  };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ host: "127.0.0.1", port, path: "/healthz", agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    asked.on("error", () => resolve(false));
    asked.end();
  });
}

function hashOf(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}
