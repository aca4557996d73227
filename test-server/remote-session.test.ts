import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { createProcessTable } from "../src/base/process-table.ts";
import type { RemoteOperation } from "../src/contract/remote/operation.ts";
import { parseRemoteKey, publicTextOf } from "../src/contract/remote/remote-key.ts";
import { outcomeOf } from "../src/holder/remote-world.fake.ts";
import { createProofHub, newKeyPair } from "../src/remote/proof-hub.fake.ts";
import { proveToBox } from "../src/remote/proven-carrier.ts";
import { createWindowLedger } from "../src/remote/receive-window.ts";
import { createRemoteSession } from "../src/remote/remote-session.ts";
import { createRouterDialler } from "../src/remote/router-dialler.ts";
import { ROUTER_ID, startRouter, ticketFor } from "../src/router/router.fake.ts";
import { type AgentWorld, createAgentWorld } from "./agent-world.ts";

/** A real agent and a real holder, a router, and an operator: the hub is played by the test. */

const SH = "/bin/sh";
const table = createProcessTable();

const holdersOf = (world: AgentWorld) =>
  table.pids().filter((pid) => table.environment(pid, "SLUICE_HOLDER")?.get("SLUICE_HOLDER") === world.stateDir);

async function answerOf(world: AgentWorld, id: string) {
  return world.until(() => {
    const answer = world.server.commands.list().find((command) => command.id === id)?.answer;
    return answer === undefined ? undefined : `${answer.ok ? "ok" : "no"} ${answer.text}`;
  }, `command ${id} is answered`);
}

test("a command outlives its agent and its link, is begun once, and is lost only with what holds it", async () => {
  const router = await startRouter();
  const dialler = createRouterDialler({ client: "test/1" }, { clock: systemClock, authorities: () => [] });
  await using world = await createAgentWorld({
    agentArguments: ["--policy-remote-operators", "ada", "--policy-remote-commands", SH],
    server: { rtmpPort: undefined },
  });
  const untilConnected = () => world.until(() => world.server.room.count() === 1, "the agent is connected");

  const hub = createProofHub();
  const pem = () => readFileSync(join(world.stateDir, "remote_key.pem"), "utf8");

  const begin = (argv: string[], operator = "ada") => {
    const id = randomUUID();
    const operation: RemoteOperation = { kind: "exec", argv, pty: false, detach: false };
    const session = createRemoteSession(
      { side: "operator", program: "test/1" },
      { clock: systemClock, newId: randomUUID, ledger: createWindowLedger() },
    );
    let attempt = 1;
    const facts = () => ({ session: id, attempt, operator, operation, router: { id: ROUTER_ID, url: router.url } });
    const offer = (given: number) => {
      attempt = given;
      const command = `c-${randomUUID()}`;
      world.server.commands.send({
        id: command,
        name: "remote",
        deadlineMs: Date.now() + 60_000,
        args: {
          session: id,
          ticket: ticketFor({ sid: id, side: "box" }),
          router: { id: ROUTER_ID, url: router.url },
          attempt,
          operator,
          operation,
          limits: { idleSeconds: 600, maxSeconds: 600, resumeSeconds: 120 },
          proof: hub.proof(),
        },
      });
      return answerOf(world, command);
    };
    const joinHere = async (given: number) => {
      attempt = given;
      const target = {
        router: { id: ROUTER_ID, url: router.url },
        ticket: ticketFor({ sid: id }),
        traffic: "bulk",
        isSealed: false,
      } as const;
      const carrier = await dialler.join(target, {}, AbortSignal.timeout(30_000));
      const { privateKey, key } = newKeyPair();
      const ticket = hub.ticketFor(facts(), { box: world.boxId, key });
      const boxKey = publicTextOf(parseRemoteKey(pem(), "the box's key"));
      const task = { session: id, box: world.boxId, attempt: given, isSealed: false, ticket, privateKey, boxKey };
      const proven = await proveToBox(carrier, task, { clock: systemClock });
      session.carry(proven).catch(() => undefined);
      return proven;
    };
    const open = () =>
      session.open({ kind: "exec", argv, env: {}, cwd: undefined, user: undefined, pty: undefined, stdin: false });
    return { session, offer, join: joinHere, open };
  };

  try {
    await world.startAgent();
    await untilConnected();
    const count = join(tmpdir(), `sluice-begun-${randomUUID()}`);
    const script = `echo begun >>${count}; i=0; while [ $i -lt 600 ]; do echo $i; i=$((i+1)); [ $((i % 10)) = 0 ] && sleep 0.1; done; exit 9`;
    const run = begin([SH, "-c", script]);
    const joined = run.join(1);
    expect(await run.offer(1)).toBe("ok joining");
    const carrier = await joined;
    const channel = run.open();
    const outcome = outcomeOf(channel);
    const { pid = 0 } = await channel.opened;

    await world.killAgent("SIGKILL");
    carrier.cut();
    await world.startAgent();
    await untilConnected();
    const [again, text] = await Promise.all([run.join(2), run.offer(2)]);
    expect(text).toBe("ok joined again");
    expect(table.stat(pid)).toBeDefined();
    // A hub that repeats itself: the newest of a side wins, and nothing is begun anew.
    again.cut();
    await Promise.all([run.join(3), run.offer(3)]);

    const { how, isWhole, text: output } = await outcome;
    expect({ how, isWhole }).toEqual({ how: { kind: "code", code: 9 }, isWhole: true });
    expect(output).toBe(Array.from({ length: 600 }, (_, line) => `${line}\n`).join(""));
    expect(await readFile(count, "utf8")).toBe("begun\n");
    run.session.close();

    const log = (await readFile(join(world.stateDir, "logs/remote.log"), "utf8")).trim().split("\n");
    expect(log.map((line) => JSON.parse(line).event)).toEqual(
      expect.arrayContaining(["begin", "open", "resume", "close"]),
    );

    const refused = await Promise.all([
      begin(["/bin/ls"]).offer(1),
      begin([SH, "-c", "true"], "eve").offer(1),
      begin([SH, "-c", "true"]).offer(0),
    ]);
    expect(refused[0]).toBe("no policy.remote.commands: given /bin/ls; allowed: /bin/sh");
    expect(refused[1]).toBe("no policy.remote.operators: given eve; allowed: ada");
    expect(refused[2]).toMatch(/^no attempt: /);

    const doomed = begin([SH, "-c", "sleep 300"]);
    const [, begun] = await Promise.all([doomed.join(1), doomed.offer(1)]);
    expect(begun).toBe("ok joining");
    const held = doomed.open();
    const left = (await held.opened).pid ?? 0;
    const [holder = 0] = holdersOf(world);
    process.kill(holder, "SIGKILL");
    await world.until(() => holdersOf(world).length === 0, "the holder is gone");
    expect(await doomed.offer(2)).toMatch(/^no lost: /);
    process.kill(-left, "SIGKILL");
  } finally {
    for (const pid of holdersOf(world)) process.kill(pid, "SIGTERM");
    await world.until(() => holdersOf(world).length === 0, "nothing is left");
    dialler.close();
    await router.close();
  }
}, 120_000);
