import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { freePort } from "../../test-server/free-port.ts";
import { createTunnelPair, PAIR_SECRET, type TunnelPair } from "../../test-server/tunnel-pair.ts";
import { systemClock } from "../base/clock.ts";
import type { TunnelRole } from "../contract/tunnel-spec.ts";

const ROLES: readonly TunnelRole[] = ["producer", "consumer"];

async function startUp(pair: TunnelPair): Promise<void> {
  await Promise.all([pair.producer.startAgent(), pair.consumer.startAgent()]);
  await pair.link();
  await pair.untilUp();
}

async function pidOf(pair: TunnelPair, role: TunnelRole): Promise<number> {
  return pair[role].until(async () => (await pair[role].workload(`t-1.${role}`))?.pid, `${role} has a process`);
}

test.concurrent("its lifetime ends it without anybody saying so", async () => {
  await using pair = await createTunnelPair({
    security: "psk",
    extra: { endsAt: new Date(systemClock.wallMs() + 25_000).toISOString() },
  });
  await startUp(pair);
  for (const role of ROLES) {
    const over = await pair[role].until(
      async () => {
        const found = await pair[role].workload(`t-1.${role}`);
        return found?.state === "refused" ? found : undefined;
      },
      "it has ended",
      40_000,
    );
    expect(over.cause).toContain("its lifetime ended at");
    await pair[role].until(() => pair[role].workloadPids().length === 0, "its process is gone");
    expect(pair[role].agent()?.output()).toContain("its lifetime ends at");
    const directory = join(pair[role].stateDir, "workloads", `t-1.${role}`);
    await pair[role].until(() => !existsSync(directory), "its keys are gone");
  }
});

test.concurrent("kill -9 of both agents ends no connection: the next agents adopt the same stunnel and it is up", async () => {
  await using pair = await createTunnelPair({ security: "cert" });
  await startUp(pair);
  const before = [await pidOf(pair, "producer"), await pidOf(pair, "consumer")];
  const echo = await pair.open();
  expect(await echo.say("one")).toBe("one");
  for (const role of ROLES) await pair[role].killAgent("SIGKILL");
  expect(await echo.say("without agents")).toBe("without agents");
  for (const role of ROLES) await pair[role].startAgent();
  await pair.untilUp();
  expect([await pidOf(pair, "producer"), await pidOf(pair, "consumer")]).toEqual(before);
  expect(await echo.say("adopted")).toBe("adopted");
  for (const role of ROLES) {
    const found = await pair[role].until(async () => {
      const workload = await pair[role].workload(`t-1.${role}`);
      return workload?.state === "running" ? workload : undefined;
    }, "health has seen that it is up");
    expect(found.restarts).toBe(0);
    expect(pair[role].agent()?.output()).not.toMatch(/has read its new keys/);
  }
  echo.close();
});

test.concurrent.for([
  ["SIGKILL", "producer"],
  ["SIGKILL", "consumer"],
  ["SIGSTOP", "producer"],
  ["SIGSTOP", "consumer"],
] as const)(
  "%s of the stunnel at the %s's end: another one takes its place and it is up again",
  async ([signal, role]) => {
    await using pair = await createTunnelPair({ security: "psk" });
    await startUp(pair);
    const pid = await pidOf(pair, role);
    process.kill(pid, signal);
    await pair[role].until(
      async () => {
        const { pid: now, tunnel } = (await pair[role].workload(`t-1.${role}`)) ?? {};
        return now !== undefined && now !== pid && tunnel?.phase === "up";
      },
      "another process is up",
      30_000,
    );
    await pair.untilUp(30_000);
    const echo = await pair.open();
    expect(await echo.say("again")).toBe("again");
    echo.close();
    expect(pair[role].workloadPids()).toHaveLength(1);
  },
);

test.concurrent("new keys at both ends, step by step as a hub does it, leave an open connection as it is", async () => {
  await using pair = await createTunnelPair({ security: "cert" });
  await startUp(pair);
  const pids = [await pidOf(pair, "producer"), await pidOf(pair, "consumer")];
  const echo = await pair.open();
  const first = { producer: await certificate(pair, "producer", 1), consumer: await certificate(pair, "consumer", 1) };
  const turn = (role: TunnelRole, keyGeneration: number, peers: readonly string[], next?: number) =>
    pair.setSecurity(role, {
      kind: "cert",
      keyGeneration,
      peerCertificates: [...peers],
      ...(next === undefined ? {} : { nextKeyGeneration: next }),
    });
  turn("producer", 1, [first.consumer.pem], 2);
  turn("consumer", 1, [first.producer.pem], 2);
  const second = { producer: await certificate(pair, "producer", 2), consumer: await certificate(pair, "consumer", 2) };
  turn("producer", 1, [first.consumer.pem, second.consumer.pem], 2);
  turn("consumer", 1, [first.producer.pem, second.producer.pem], 2);
  for (const role of ROLES) {
    await pair[role].until(async () => (await pair.status(role))?.accepts?.length === 2, `${role} accepts both`);
  }
  turn("producer", 2, [first.consumer.pem, second.consumer.pem]);
  turn("consumer", 2, [first.producer.pem, second.producer.pem]);
  for (const role of ROLES) {
    await pair[role].until(
      async () => (await pair.status(role))?.presents === second[role].sha256,
      `${role} presents its new key`,
    );
  }
  turn("producer", 2, [second.consumer.pem]);
  turn("consumer", 2, [second.producer.pem]);
  for (const role of ROLES) {
    await pair[role].until(async () => (await pair.status(role))?.accepts?.length === 1, `${role} has dropped the old`);
  }
  await pair.untilUp();
  await pair.consumer.until(
    async () => (await pair.status("consumer"))?.proof?.peer === second.producer.sha256,
    "the consumer's end has proved the producer's new key",
  );
  expect(await echo.say("still the first connection")).toBe("still the first connection");
  const fresh = await pair.open();
  expect(await fresh.say("with new keys")).toBe("with new keys");
  expect([await pidOf(pair, "producer"), await pidOf(pair, "consumer")]).toEqual(pids);
  expect(existsSync(join(pair.producer.stateDir, "workloads", "t-1.producer", "own-1.pem"))).toBe(false);
  echo.close();
  fresh.close();
});

async function certificate(pair: TunnelPair, role: TunnelRole, generation: number) {
  return pair[role].until(
    async () => (await pair.status(role))?.certificates?.find((one) => one.generation === generation),
    `${role} tells its certificate ${generation}`,
  );
}

test.concurrent("a busy port is named with who has it, and taken once it is free", async () => {
  await using pair = await createTunnelPair({ security: "psk" });
  const holder = createServer((socket) => socket.on("error", () => undefined));
  await new Promise<void>((resolve) => holder.listen(pair.entries[0], "127.0.0.1", resolve));
  await Promise.all([pair.producer.startAgent(), pair.consumer.startAgent()]);
  await pair.link();
  const told = await pair.consumer.until(async () => {
    const status = await pair.status("consumer");
    return status?.busy === undefined ? undefined : status;
  }, "the port is told to be busy");
  expect(told.phase).toBe("preparing");
  expect(told.busy).toEqual([
    { listen: `127.0.0.1:${pair.entries[0]}`, holder: expect.stringContaining(`(pid ${process.pid})`) },
  ]);
  expect(told.reason).toContain(`legs[0].listen: 127.0.0.1:${pair.entries[0]} is taken by`);
  await new Promise((resolve) => holder.close(resolve));
  await pair.untilUp();
});

test.concurrent("an address that is not the box's own is named with those that are", async () => {
  await using pair = await createTunnelPair({ security: "psk" });
  await pair.consumer.startAgent();
  const port = await freePort();
  pair.consumer.server.putStreams(
    pair.workload("consumer", {
      legs: [{ listen: { address: "192.0.2.7", port }, connect: { host: "127.0.0.1", port: 9 } }],
    }),
  );
  const status = await pair.consumer.until(async () => {
    const found = await pair.status("consumer");
    return found?.reason?.includes("192.0.2.7") === true ? found : undefined;
  }, "the address is named");
  expect(status.reason).toMatch(/legs\[0\]\.listen: 192\.0\.2\.7:\d+ is no address of this box; it has .*127\.0\.0\.1/);
  expect(status.phase).toBe("preparing");
});

test.concurrent("stopping it leaves no process, no port and no key", async () => {
  await using pair = await createTunnelPair({ security: "cert" });
  await startUp(pair);
  for (const role of ROLES) {
    pair[role].server.set.remove([`t-1.${role}`]);
    await pair[role].until(async () => (await pair[role].workload(`t-1.${role}`)) === undefined, "it is forgotten");
    expect(pair[role].workloadPids()).toEqual([]);
    expect(existsSync(join(pair[role].stateDir, "workloads", `t-1.${role}`))).toBe(false);
  }
  for (const port of [...pair.entries, ...pair.gateways]) {
    const socket = connect(port, "127.0.0.1");
    const refused = await new Promise((resolve) => {
      socket.on("error", resolve);
      socket.on("connect", () => resolve(undefined));
    });
    expect(refused).toMatchObject({ code: "ECONNREFUSED" });
  }
});

test.concurrent("an end that waits for its peer's certificate leaves nothing either", async () => {
  await using pair = await createTunnelPair({ security: "cert" });
  await pair.producer.startAgent();
  pair.producer.server.putStreams(pair.workload("producer"));
  await certificate(pair, "producer", 1);
  expect(await pair.producer.workload("t-1.producer")).toMatchObject({
    state: "waiting",
    restarts: 0,
    waitsFor: { what: "certificate of the consumer's end" },
    tunnel: { phase: "prepared" },
  });
  pair.producer.server.set.remove(["t-1.producer"]);
  const directory = join(pair.producer.stateDir, "workloads", "t-1.producer");
  await pair.producer.until(() => !existsSync(directory), "its keys are gone");
});

test.concurrent("the shared key stands in the two files that must hold it, mode 0600, and nowhere else", async () => {
  await using pair = await createTunnelPair({ security: "psk" });
  await startUp(pair);
  for (const role of ROLES) {
    const { stateDir, server, boxId } = pair[role];
    const report = await pair[role].until(() => server.reports.latestOf(boxId)?.report, "a report has come");
    const told = [report, await pair[role].status(), pair[role].agent()?.output()].map((one) => JSON.stringify(one));
    for (const text of told) expect(text).not.toContain(PAIR_SECRET);
    const holding = readdirSync(stateDir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((path) => readFileSync(path, "utf8").includes(PAIR_SECRET));
    const names = holding.map((path) => path.slice(stateDir.length + 1).replace(/\.\d+$/, ""));
    expect([...new Set(names)].sort()).toEqual(["persistent_state.json", `workloads/t-1.${role}/secrets.psk`]);
    for (const path of holding) expect(statSync(path).mode & 0o777, path).toBe(0o600);
  }
});
