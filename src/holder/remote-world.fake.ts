import { createHash, randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import { createMemoryLog } from "../base/log.ts";
import { createPipePool } from "../base/pipe-pool.ts";
import { createProcessTable } from "../base/process-table.ts";
import { createSpawner } from "../base/spawn.ts";
import type { RemoteOffer } from "../contract/remote/offer.ts";
import type { CommandGrant, RemoteGrant } from "../contract/remote/remote-grant.ts";
import type { Carrier } from "../remote/carrier.ts";
import { createCarrierPair } from "../remote/carrier-pair.fake.ts";
import type { Channel } from "../remote/channel.ts";
import type { ExitFacts } from "../remote/exit-facts.ts";
import type { ExecWhat } from "../remote/open-what.ts";
import { createProofHub, newKeyPair } from "../remote/proof-hub.fake.ts";
import { proveEarly, proveToBox } from "../remote/proven-carrier.ts";
import { createWindowLedger } from "../remote/receive-window.ts";
import { createRemoteSession } from "../remote/remote-session.ts";
import { createAuditLog } from "./audit-log.ts";
import { createHolderSessions, type HolderSessionsDeps } from "./holder-sessions.ts";
import { loadPty } from "./terminal.ts";

export const BOX_ID = "edge-001";
const { username: name, uid, gid, homedir: home } = userInfo();

/** What a box lets its operator run: this command, as the agent's own user. */
export function grantOf(argv: readonly string[], extra: Partial<CommandGrant> & { pty?: boolean } = {}): CommandGrant {
  const { pty = false, ...rest } = extra;
  const [file = "", ...args] = argv;
  return {
    kind: "command",
    asked: { argv: [...argv], pty },
    launch: { file, argv0: file, args },
    user: { name, uid, gid, home, shell: "/bin/sh", isOther: false },
    cwd: "/",
    environment: [],
    detach: false,
    ...rest,
  };
}

export const sh = (script: string) => ["/bin/sh", "-c", script] as const;

/** Both ends of remote sessions in one process, with a link between them that tests break. The commands are real. */
export function createRemoteWorld(deps: Partial<HolderSessionsDeps> = {}) {
  const directory = mkdtempSync(join(tmpdir(), "sluice-remote-"));
  const log = createMemoryLog();
  let waiting: ((carrier: Carrier) => void) | undefined;
  const hub = createProofHub();
  const box = newKeyPair();
  const { runProgram } = createSpawner({ ambient: process.env }, { clock: systemClock });
  const pipes = createPipePool(join(directory, "pipes"), { runProgram });
  pipes.prepare();
  const holder = createHolderSessions({
    pipes,
    clock: systemClock,
    log,
    audit: createAuditLog(join(directory, "remote.log"), { clock: systemClock, onProblem: (text) => log.error(text) }),
    trust: () => undefined,
    dialler: {
      join: (_target, _hooks, signal) =>
        new Promise((resolve, reject) => {
          waiting = resolve;
          signal.addEventListener("abort", () => reject(signal.reason));
        }),
    },
    ledger: createWindowLedger(),
    program: "test/1",
    version: "1",
    pid: process.pid,
    table: createProcessTable(),
    pty: loadPty(log),
    spoolDirectory: join(directory, "spool"),
    boxKey: () => box.privateKey,
    askPlace: () => Promise.reject(new AppError("unavailable", "no agent in this test")),
    ...deps,
  });

  /** Where the box dials for what is offered. */
  const dialled = (offer: () => Promise<string>) => {
    const pair = createCarrierPair();
    const text = offer();
    // Whoever looks at what becomes of it hears of it all the same.
    text.catch(() => undefined);
    if (waiting === undefined) throw new AppError("internal", "the box did not dial");
    waiting(pair.box);
    waiting = undefined;
    return { pair, text };
  };
  const prepare = (
    grant: RemoteGrant,
    {
      operator = "ann",
      resumeSeconds = 300,
      maxSeconds = 3600,
      idleSeconds = 1800,
      isSealed = false,
      isEarly = false,
      recorded = Promise.resolve(),
    } = {},
  ) => {
    const id = randomUUID();
    const session = createRemoteSession(
      { side: "operator", program: "test/1" },
      { clock: systemClock, newId: randomUUID, ledger: createWindowLedger() },
    );
    let attempt = 0;
    /** The operator's end is left to whoever asks. */
    const meet = (isKnown = attempt > 0) => {
      attempt += 1;
      const offer: RemoteOffer = {
        session: id,
        ticket: "secret-ticket",
        router: { id: "r-1", url: "http://127.0.0.1:1" },
        attempt,
        operator,
        operation: {
          kind: "exec",
          argv: grant.kind === "command" ? grant.asked.argv : ["x"],
          pty: grant.kind === "command" && grant.asked.pty,
          detach: false,
        },
        limits: { idleSeconds, maxSeconds, resumeSeconds },
        proof: hub.proof(isSealed),
      };
      const { pair, text } = dialled(() => holder.offer({ offer, grant, box: BOX_ID, isKnown }, recorded));
      const { privateKey, key } = newKeyPair();
      const ticket = hub.ticketFor(offer, { box: BOX_ID, key, seal: isSealed });
      const task = { session: id, box: BOX_ID, attempt, isSealed, ticket, privateKey, boxKey: box.key };
      const early = isEarly ? proveEarly(task) : undefined;
      if (early !== undefined) pair.operator.send([early.frame]);
      return { pair, text, offer, early, proven: proveToBox(pair.operator, task, { clock: systemClock }, early) };
    };
    const connect = (isKnown = attempt > 0) => {
      const { pair, text, proven } = meet(isKnown);
      const ended = proven.then((carrier) => session.carry(carrier));
      ended.catch(() => undefined);
      return { pair, text, ended };
    };
    return { id, session, meet, connect };
  };

  const begin = (...given: Parameters<typeof prepare>) => {
    const prepared = prepare(...given);
    return { ...prepared, offered: prepared.connect() };
  };

  return {
    holder,
    hub,
    box,
    prepare,
    dialled,
    log,
    directory,
    begin,
    audit: () =>
      readFileSync(join(directory, "remote.log"), "utf8")
        .trim()
        .split("\n")
        .map((line): Record<string, unknown> => JSON.parse(line)),
    close: async () => {
      await holder.endAll("the test is over");
      await pipes.close();
      await rm(directory, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
export type RemoteWorld = ReturnType<typeof createRemoteWorld>;

export function execOf(grant: CommandGrant, extra: Partial<ExecWhat> = {}): ExecWhat {
  const { argv, user, cwd, pty } = grant.asked;
  return {
    kind: "exec",
    argv,
    user,
    cwd,
    env: {},
    pty: pty ? { term: "xterm", cols: 80, rows: 24 } : undefined,
    stdin: false,
    ...extra,
  };
}

/** Reads everything, waits for the exit, and says that it was seen. */
export async function outcomeOf(channel: Channel, options: { readonly isSlow?: boolean } = {}) {
  const exit = Promise.withResolvers<ExitFacts>();
  channel.on({ onExit: exit.resolve });
  void channel.closed.then(({ error }) =>
    exit.reject(error ?? new AppError("internal", "it was closed without an exit")),
  );
  const read = async (pipe: "out" | "err") => {
    const parts: Buffer[] = [];
    for await (const part of channel.readable(pipe)) {
      parts.push(part);
      if (options.isSlow === true) await systemClock.delay(1);
    }
    return Buffer.concat(parts);
  };
  const [facts, out, err] = await Promise.all([exit.promise, read("out"), read("err")]);
  const isWhole = createHash("sha256").update(out).digest().equals(facts.out.sha256) && facts.err.total === err.length;
  channel.exitSeen();
  return { ...facts, out, err, isWhole, text: out.toString("utf8") };
}
