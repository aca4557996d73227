import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { AppError } from "../base/errors.ts";
import type { HolderCall } from "../contract/remote/holder-call.ts";
import type { RemoteGrant } from "../contract/remote/remote-grant.ts";
import type { OpenWhat } from "../remote/open-what.ts";
import type { RemoteSession } from "../remote/remote-session.ts";
import { createAuditLog } from "./audit-log.ts";
import { openHolderSocket } from "./holder-socket.ts";
import { createRemoteWorld, execOf, grantOf, outcomeOf, type RemoteWorld, sh } from "./remote-world.fake.ts";

let directory: string;
let world: RemoteWorld | undefined;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-recorded-"));
});
afterEach(async () => {
  await world?.close();
  world = undefined;
  rmSync(directory, { recursive: true, force: true });
});

/** The operator was let in, and what they have said so far has arrived. */
const heard = async ({ holder }: RemoteWorld, session: RemoteSession) => {
  await expect.poll(() => holder.status().sessions).toMatchObject([{ state: "open" }]);
  await expect.poll(() => session.stats().unackedBytes).toBe(0);
};
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("nothing starts before the agent has it on disk, and what comes for it meanwhile is not lost", async () => {
  world = createRemoteWorld();
  const touched = join(directory, "touched");
  const grant = grantOf(sh(`read word; echo $word; touch ${touched}`));
  const recorded = Promise.withResolvers<void>();
  const { session, offered } = world.begin(grant, { recorded: recorded.promise });
  const channel = session.open(execOf(grant, { stdin: true }));
  channel.writable("in").end("hello\n");
  let isOpen = false;
  void channel.opened.then(() => {
    isOpen = true;
  });
  await heard(world, session);
  await settled();
  expect([isOpen, world.audit().map(({ event }) => event)]).toEqual([false, ["begin"]]);
  recorded.resolve();
  expect((await outcomeOf(channel)).text).toBe("hello\n");
  await expect(offered.text).resolves.toBe("joining");
  session.close();
});

test("a session that ends before the agent has it on disk begins nothing afterwards", async () => {
  world = createRemoteWorld();
  const touched = join(directory, "touched");
  const grant = grantOf(["/usr/bin/touch", touched]);
  const recorded = Promise.withResolvers<void>();
  const { id, session } = world.begin(grant, { recorded: recorded.promise });
  const channel = session.open(execOf(grant));
  await heard(world, session);
  world.holder.end(id, "ended by ann");
  await session.closed;
  recorded.resolve();
  await expect(channel.opened).rejects.toMatchObject({ code: "cancelled" });
  await expect.poll(() => world?.holder.size).toBe(0);
  expect([existsSync(touched), world.audit().map(({ event }) => event)]).toEqual([
    false,
    expect.not.arrayContaining(["open"]),
  ]);
});

test("an agent that goes before it has it on disk has nothing begun, and the operator hears that", async () => {
  world = createRemoteWorld();
  const grant = grantOf(sh("echo begun"));
  const recorded = Promise.withResolvers<void>();
  const { session, offered } = world.begin(grant, { recorded: recorded.promise });
  const channel = session.open(execOf(grant));
  recorded.reject(new AppError("unavailable", "the agent ended"));
  await expect(channel.opened).rejects.toMatchObject({ code: "unavailable", message: "the agent ended" });
  await expect(offered.text).rejects.toMatchObject({ code: "unavailable" });
  expect(world.audit().map(({ event }) => event)).not.toContain("open");
  session.close();
});

test.each<[string, RemoteGrant, OpenWhat]>([
  ["a command", grantOf(["/bin/echo", "x"]), execOf(grantOf(["/bin/echo", "x"]))],
  [
    "a connection",
    { kind: "forward", targets: [{ host: "127.0.0.1", from: 1, to: 1, protocol: "tcp", reach: "any" }] },
    { kind: "dial", host: "127.0.0.1", port: 1 },
  ],
])("%s is refused where the audit log does not come to the disk", async (_what, grant, what) => {
  const disk = Promise.reject(new AppError("storage", "no room, so nothing is begun"));
  disk.catch(() => undefined);
  world = createRemoteWorld({ audit: { must: () => disk, note: () => undefined } });
  const { session, offered } = world.begin(grant);
  await expect(session.open(what).opened).rejects.toMatchObject({ code: "storage" });
  await expect(offered.text).rejects.toMatchObject({ code: "storage" });
  session.close();
});

test("what cannot be written is not even joined", async () => {
  writeFileSync(join(directory, "file"), "");
  const audit = createAuditLog(join(directory, "file", "remote.log"), {
    clock: createFakeClock(),
    onProblem: () => undefined,
  });
  world = createRemoteWorld({ audit });
  const { holder } = world;
  const { meet } = world.prepare(grantOf(["/bin/true"]));
  expect(() => meet()).toThrow("did not dial");
  expect(holder.size).toBe(0);
});

async function holderSocket() {
  const path = join(directory, "holder.sock");
  const calls: { readonly call: string; readonly recorded: Promise<void> }[] = [];
  const close = await openHolderSocket(
    path,
    async ({ call }, recorded) => {
      calls.push({ call, recorded });
      await recorded;
      return { text: "joining" };
    },
    createFakeClock(),
  );
  const socket = connect(path);
  socket.on("error", () => undefined);
  let answer = "";
  socket.on("data", (bytes) => {
    answer += String(bytes);
  });
  return { calls, close, socket, answer: () => answer };
}

const CALL: HolderCall = { call: "status" };

test.each([1, 7, 1000])("the holder hears the agent's two lines, cut into pieces of %i", async (size) => {
  const { calls, close, socket, answer } = await holderSocket();
  const text = `${JSON.stringify(CALL)}\nrecorded\n`;
  for (let at = 0; at < text.length; at += size) {
    socket.write(text.slice(at, at + size));
    await settled();
  }
  await expect.poll(answer).toBe('{"text":"joining"}\n');
  expect(calls.map(({ call }) => call)).toEqual(["status"]);
  await close();
});

test("an agent that is cut off between its lines, or says something else, has recorded nothing", async () => {
  for (const more of ["", "recor", "begun\n"]) {
    const { calls, close, socket, answer } = await holderSocket();
    socket.write(`${JSON.stringify(CALL)}\n${more}`);
    await expect.poll(() => calls.length).toBe(1);
    socket.destroy();
    await expect(calls[0]?.recorded).rejects.toMatchObject({ code: "unavailable" });
    expect(answer()).toBe("");
    await close();
  }
});
