import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { AppError } from "../../../src/base/errors.ts";
import { hashOfDirectory, runDirectoryCandidates } from "../../../src/base/run-directory.ts";
import { type SyncProgress, syncProgressSchema } from "../../../src/contract/transfer/sync-progress.ts";
import type { SyncRequestInput } from "../../../src/contract/transfer/sync-request.ts";
import { WORKER_COMMAND } from "../../../src/contract/transfer/worker-command.ts";
import { freePort } from "../../../test-server/free-port.ts";
import type { Lab } from "../lab.ts";
import { type Site, wordsInside } from "../remote/site-link.ts";
import type { Mover, MoveSites } from "./mover.ts";
import { type Watched, watchProgram } from "./watched.ts";

/** As `scripts/sluice` runs it. */
const SLUICE = resolve(import.meta.dirname, "../../../build/sluice");

export interface FleetWish {
  readonly name: string;
  readonly sites: MoveSites;
  /** Bytes go in the clear, as over an endpoint that is declared trusted. */
  readonly isTrusted: boolean;
  /** What the boxes may read and write: the storages' roots. */
  readonly roots: { readonly from: string; readonly to: string };
  /** Redis; SQLite in the lab unless given. */
  readonly storeUrl?: string;
  /** Of hub and agents: `NODE_OPTIONS=--cpu-prof …`. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A hub near, a box there and one near, each with a storage and a worker. */
export interface Fleet extends AsyncDisposable {
  mover(verify: SyncRequestInput["verify"]): Mover;
  pids(): readonly number[];
  hubPid(): number;
  workerPid(end: "from" | "to"): number | undefined;
  killHub(): Promise<void>;
  submit(request: SyncRequestInput): Promise<string>;
  progress(id: string): Promise<SyncProgress>;
  /** Resolves with how it ended. */
  untilOver(id: string): Promise<SyncProgress>;
}

/** After a connection that told nothing of the end. */
const FOLLOW_AGAIN_MS = 25;
const OVER: readonly SyncProgress["state"][] = ["COMPLETED", "FAILED"];

export async function startFleet(wish: FleetWish, lab: Lab): Promise<Fleet> {
  const { name, sites, roots, env = {} } = wish;
  await using stack = new AsyncDisposableStack();
  const at = (file: string) => join(lab.directory, `${name}-${file}`);
  const begin = (site: Site, args: readonly string[], more: Readonly<Record<string, string>> = {}) => {
    const words = [...wordsInside(site), SLUICE, ...args];
    const settings = { SLUICE_CONFIG: "/dev/null", SLUICE_HUB_CONFIG: "/dev/null", ...more };
    return watchProgram(lab.spawn(words[0] ?? "", words.slice(1), { stdio: "pipe", env: settings }));
  };
  const hubPort = await freePort();
  // Hubs of one Redis share a key; with a store of its own a hub makes one.
  const keyFile = at("secrets.key");
  writeFileSync(keyFile, randomBytes(32).toString("hex"), { mode: 0o600 });
  const store = wish.storeUrl === undefined ? [] : ["--store-url", wish.storeUrl, "--secrets-key-file", keyFile];
  const startHub = () =>
    begin(
      sites.near,
      [
        ...["hub", "--server-listen", `${sites.near.address}:${hubPort}`, "--tls-mode", "off", "--data-dir", at("hub")],
        ...["--limits-operator-per-second", "10000", "--remote-own-router", "false"],
        ...store,
      ],
      env,
    );
  let hub: Watched = startHub();
  stack.defer(() => hub[Symbol.asyncDispose]());
  const [, origin = ""] = await hub.says(/The hub serves (http:\/\/\S+)/, lab);
  const [, token = ""] = await hub.says(/keep it safe:\s+(\S+)/, lab);
  const operate = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const answer = await askInside(sites.near, { origin, token, method, path, body }, lab);
    return answer === "" ? undefined : JSON.parse(answer);
  };

  const agents: Watched[] = [];
  for (const end of ["from", "to"] as const) {
    const site = end === "from" ? sites.box : sites.near;
    const port = await freePort();
    const stateDir = at(end);
    mkdirSync(stateDir, { recursive: true });
    const settings = { SLUICE_STATE_DIR: stateDir, SLUICE_BOX_ID: end, ...env };
    const made = await operate("POST", "/v1/enrolments", {});
    const enrolment = typeof made === "object" && made !== null && "token" in made ? String(made.token) : "";
    const enrol = [...wordsInside(site), SLUICE, "enrol", enrolment, "--hub", origin];
    await lab.run(enrol[0] ?? "", enrol.slice(1), { env: { SLUICE_CONFIG: "/dev/null", ...settings } });
    const where = `${site.address}:${port}`;
    const agent = begin(
      site,
      [
        ...["agent", "--transfer-storages", `${roots[end]}:rw`, "--transfer-listen", where],
        ...["--transfer-endpoints", wish.isTrusted ? `${where}/trusted` : where],
      ],
      settings,
    );
    stack.use(agent);
    agents.push(agent);
    for (const path of runDirectoryCandidates(
      { stateDir, userId: process.getuid?.() ?? 0 },
      hashOfDirectory(stateDir),
    )) {
      stack.defer(() => rm(path, { recursive: true, force: true }));
    }
  }
  await lab.until(
    async () => JSON.stringify(await operate("GET", "/workers")).split('"certificate_sha256"').length === 3,
    "both workers are at the hub",
    { pollMs: 200 },
  );

  const submit: Fleet["submit"] = async (request) => {
    const answer = await operate("POST", "/sync", request);
    if (typeof answer === "object" && answer !== null && "request_id" in answer) return String(answer.request_id);
    throw new AppError("internal", `POST /sync answered ${JSON.stringify(answer)}`);
  };
  const progress: Fleet["progress"] = async (id) => syncProgressSchema.parse(await operate("GET", `/sync/${id}`));
  const untilOver: Fleet["untilOver"] = async (id) => {
    for (;;) {
      // As `sluice sync start --watch` does, so that looking costs the hub little and the end is heard at once.
      await followToEnd(sites.near, { url: `${origin}/sync/${id}`, token }, lab).catch(() => undefined);
      const last = await progress(id).catch(() => undefined);
      if (last !== undefined && OVER.includes(last.state)) return last;
      await lab.delay(FOLLOW_AGAIN_MS);
    }
  };
  const pids = () => [hub.pid, ...agents.map(({ pid }) => pid)];
  const life = stack.move();
  return {
    mover: (verify = "full") => ({
      name: `Sluice, ${wish.isTrusted ? "plain" : "TLS"}, ${verify}`,
      move: async (source, destination) => {
        const id = await submit({ source_path: source, destination_path: destination, source_box: "from", verify });
        const { state, reason, failures } = await untilOver(id);
        if (state !== "COMPLETED") {
          throw new AppError("unavailable", `a transfer ended as ${state}: ${reason} ${JSON.stringify(failures)}`);
        }
      },
      pids,
      [Symbol.asyncDispose]: async () => undefined,
    }),
    pids,
    hubPid: () => hub.pid,
    workerPid: (end) => findWorker(roots[end], at(end), lab),
    killHub: async () => {
      await hub.kill();
      hub = startHub();
      await hub.says(/The hub serves (http:\/\/\S+)/, lab);
    },
    submit,
    progress,
    untilOver,
    [Symbol.asyncDispose]: () => life.disposeAsync(),
  };
}

/** Resolves when the events of a transfer end. */
async function followToEnd(
  site: Site,
  { url, token }: { readonly url: string; readonly token: string },
  lab: Lab,
): Promise<void> {
  const headers = { authorization: `Bearer ${token}`, accept: "text/event-stream" };
  if (site.namespace === undefined) {
    const { body } = await fetch(url, { headers });
    for await (const _ of body ?? []);
    return;
  }
  const given = Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const words = [...wordsInside(site), "curl", "-sSN", "--fail-with-body", ...given, url];
  await lab.run(words[0] ?? "", words.slice(1));
}

/** Its storage and the directory of its log are in its arguments. */
function findWorker(storage: string, stateDir: string, lab: Lab): number | undefined {
  return lab.table.pids().find((pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      return words.includes(`\0${WORKER_COMMAND}\0`) && words.includes(`"${storage}"`) && words.includes(stateDir);
    } catch {
      return false;
    }
  });
}

/** From this process; into another network by a program there. */
async function askInside(
  site: Site,
  call: {
    readonly origin: string;
    readonly token: string;
    readonly method: string;
    readonly path: string;
    readonly body: unknown;
  },
  lab: Lab,
): Promise<string> {
  const { origin, token, method, path, body } = call;
  const text = body === undefined ? undefined : JSON.stringify(body);
  if (site.namespace === undefined) {
    const answer = await fetch(`${origin}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(text === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(text === undefined ? {} : { body: text }),
    });
    const said = await answer.text();
    if (!answer.ok) throw new AppError("unavailable", `${method} ${path}: ${answer.status} ${said}`);
    return said;
  }
  const curl = ["curl", "-sS", "--fail-with-body", "-X", method, "-H", `Authorization: Bearer ${token}`];
  const given = text === undefined ? [] : ["-H", "Content-Type: application/json", "-d", text];
  const words = [...wordsInside(site), ...curl, ...given, `${origin}${path}`];
  return lab.run(words[0] ?? "", words.slice(1));
}
