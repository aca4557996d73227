import type { ChildProcess } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { AppError } from "../../../src/base/errors.ts";
import { hashOfDirectory, runDirectoryCandidates } from "../../../src/base/run-directory.ts";
import { freePort } from "../../../test-server/free-port.ts";
import type { Lab } from "../lab.ts";
import type { Place } from "./byte-program.ts";
import { type Site, type SitePair, wordsInside } from "./site-link.ts";

/** As `scripts/sluice` runs it. */
const SLUICE = resolve(import.meta.dirname, "../../../build/sluice");

export interface SluiceSites extends Pick<SitePair, "near" | "box"> {
  /** Where the operator is; unless given, near the hub and the router. */
  readonly operator?: Site;
}

export interface SluiceWish {
  readonly name: string;
  /** Both legs, to the router. The hub itself is asked in plain text. */
  readonly isTls: boolean;
  readonly sites: SluiceSites;
  /** Environment of router, holder and commands: `NODE_OPTIONS=--cpu-prof …`. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Hub, router, agent and operator: four programs and the holder that the agent begins. */
export interface SluiceSite extends AsyncDisposable {
  readonly box: string;
  readonly origin: string;
  readonly adminToken: string;
  readonly routerPid: number;
  /** The process that moves a box's bytes; there once a session was. */
  holderPid(): number;
  readonly operatorEnv: Readonly<Record<string, string>>;
  /** As an operator would. */
  start(args: readonly string[]): ChildProcess;
  /** The same to its end; rejects with its output when it fails. */
  run(args: readonly string[]): Promise<string>;
  /** Resolves with where it listens. `flags`: further ones. */
  forward(
    to: Place,
    flags?: readonly string[],
  ): Promise<{ readonly pid: number; readonly at: Place; stop(): Promise<void> }>;
}

export async function startSluiceSite(wish: SluiceWish, lab: Lab): Promise<SluiceSite> {
  const { name, isTls, env = {} } = wish;
  const { near, box, operator = near } = wish.sites;
  const at = (file: string) => join(lab.directory, `${name}-${file}`);
  const boxId = `${name}-box`;
  const stateDir = at("box");
  const begin = (site: typeof near, args: readonly string[], more: Readonly<Record<string, string>> = {}) => {
    const words = [...wordsInside(site), SLUICE, ...args];
    return lab.spawn(words[0] ?? "", words.slice(1), { stdio: "pipe", env: { SLUICE_CONFIG: "/dev/null", ...more } });
  };

  const hub = watch(
    begin(
      near,
      [
        ...["hub", "--server-listen", `${near.address}:0`, "--tls-mode", "off", "--data-dir", at("hub")],
        ...["--limits-operator-per-second", "10000", "--remote-own-router", "false"],
        ...["--remote-total", "4096", "--remote-per-user", "4096"],
      ],
      { SLUICE_HUB_CONFIG: "/dev/null" },
    ),
  );
  const [, origin = ""] = await hub.says(/The hub serves (http:\/\/\S+)/, lab);
  const [, adminToken = ""] = await hub.says(/keep it safe:\s+(\S+)/, lab);
  const runtime = at("run");
  mkdirSync(runtime, { mode: 0o700 });
  const operatorEnv = {
    ...{ SLUICE_HUB: origin, SLUICE_HUB_TOKEN: adminToken, XDG_STATE_HOME: at("operator") },
    // A command is measured from nothing, unless it says `--persist`.
    ...{ XDG_RUNTIME_DIR: runtime, SLUICE_PERSIST: "no" },
  };
  const operate = (args: readonly string[]) => {
    const words = [...wordsInside(operator), SLUICE, ...args];
    return lab.run(words[0] ?? "", words.slice(1), { env: operatorEnv });
  };

  const tokenFile = at("router-token");
  const made = JSON.parse(await operate(["token", "create", name, "--role", "router", "--json"]));
  writeFileSync(tokenFile, made.secret ?? made.token, { mode: 0o600 });
  const port = await freePort();
  const tls = isTls ? await makeCertificate(at, near.address, lab) : [];
  const router = watch(
    begin(
      near,
      [
        ...["router", "--id", name, "--server-listen", `${near.address}:${port}`],
        ...["--server-public-url", `${isTls ? "https" : "http"}://${near.address}:${port}`, ...tls],
        ...["--hub-url", origin, "--hub-token-file", tokenFile],
        ...["--limits-sessions", "4096", "--limits-sessions-per-operator", "4096"],
      ],
      env,
    ),
  );
  await router.says(/Router: port/, lab);

  const enrolment = JSON.parse(await operate(["box", "enrol-token", "create", "--approve", "--json"]));
  const agentEnv = { SLUICE_STATE_DIR: stateDir, SLUICE_BOX_ID: boxId, ...env };
  const enrolled = [...wordsInside(box), SLUICE, "enrol", enrolment.token, "--hub", origin];
  await lab.run(enrolled[0] ?? "", enrolled.slice(1), { env: { SLUICE_CONFIG: "/dev/null", ...agentEnv } });
  const policy = { operators: "*", commands: "*", directories: "/", forward: "*", rsync: `${lab.directory}:rw` };
  const agent = watch(
    begin(
      box,
      [
        "agent",
        ...Object.entries(policy).flatMap(([key, value]) => [`--policy-remote-${key}`, value]),
        ...["--policy-remote-shell", "true"],
      ],
      agentEnv,
    ),
  );
  await lab.until(
    async () => {
      agent.check();
      const views = JSON.parse(await operate(["box", "show", boxId, "--json"]).catch(() => "{}"));
      return (views.box ?? views).connection === "online";
    },
    `${boxId} is at the hub`,
    { pollMs: 200 },
  );

  const start = (args: readonly string[]) => {
    const words = [...wordsInside(operator), SLUICE, ...args];
    return lab.spawn(words[0] ?? "", words.slice(1), { stdio: "pipe", env: { ...operatorEnv, ...env } });
  };
  const volatile = runDirectoryCandidates({ stateDir, userId: process.getuid?.() ?? 0 }, hashOfDirectory(stateDir));
  return {
    box: boxId,
    origin,
    adminToken,
    routerPid: router.pid,
    holderPid: () =>
      lab.table.pids().find((pid) => {
        const line = commandLine(pid);
        return line.includes("remote-holder") && line.includes(stateDir);
      }) ?? -1,
    operatorEnv,
    start,
    run: operate,
    forward: async ({ host, port: to }, flags = []) => {
      const run = watch(start(["forward", ...flags, boxId, "--json", `${operator.address}:0:${host}:${to}`]));
      const [line = ""] = await run.says(/^\{.*\}$/m, lab);
      const { forwards } = JSON.parse(line);
      const local = String(forwards[0].local[0]);
      return {
        pid: run.pid,
        at: { host: operator.address, port: Number(local.split(":").at(-1)) },
        stop: () => run.stop("SIGINT"),
      };
    },
    [Symbol.asyncDispose]: async () => {
      await operate(["link", "stop"]).catch(() => undefined);
      for (const one of [agent, router, hub]) await one.stop("SIGTERM");
      for (const path of volatile) await rm(path, { recursive: true, force: true });
    },
  };
}

interface Watched {
  readonly pid: number;
  /** Resolves with what matched in its output. */
  says(pattern: RegExp, lab: Lab): Promise<readonly string[]>;
  /** Throws when it has ended. */
  check(): void;
  stop(signal: NodeJS.Signals): Promise<void>;
}

function watch(child: ChildProcess): Watched {
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8");
    stream?.on("data", (text: string) => {
      output = (output + text).slice(-100_000);
    });
  }
  const isOver = () => child.exitCode !== null || child.signalCode !== null;
  const exited = new Promise<void>((done) => child.once("exit", () => done()));
  const check = () => {
    if (isOver()) throw new AppError("unavailable", `${child.spawnargs.join(" ")} ended:\n${output}`);
  };
  return {
    pid: child.pid ?? -1,
    check,
    says: async (pattern, lab) => {
      let found: readonly string[] | null = null;
      await lab.until(
        () => {
          found = pattern.exec(output);
          if (found === null) check();
          return found !== null;
        },
        `${child.spawnargs.slice(0, 6).join(" ")} says ${pattern}; it said: ${output}`,
      );
      return found ?? [];
    },
    stop: async (signal) => {
      if (isOver()) return;
      child.kill(signal);
      const limit = setTimeout(() => child.kill("SIGKILL"), 5000);
      await exited;
      clearTimeout(limit);
    },
  };
}

async function makeCertificate(at: (file: string) => string, address: string, lab: Lab): Promise<readonly string[]> {
  const [cert, key] = [at("cert.pem"), at("key.pem")];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key];
  const names = ["-subj", "/CN=router", "-addext", `subjectAltName=IP:${address}`, "-days", "30"];
  await lab.run("openssl", ["req", "-x509", ...kind, ...names, "-out", cert]);
  return ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-file", cert];
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}
