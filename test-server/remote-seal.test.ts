import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { ProofSchema } from "../src/contract/proto/sluice/router/v1/frame_pb.js";
import { fingerprintOf, parseRemoteKey, publicTextOf } from "../src/contract/remote/remote-key.ts";
import { decodeFrame, encodeControl } from "../src/remote/frame.ts";
import { helloBody } from "../src/remote/frame-bodies.ts";
import { toOpen } from "../src/remote/open-what.ts";
import { type EvilRouter, type JoinedEnd, startEvilRouter } from "./evil-router.ts";
import { createRemoteWorld, type RemoteWorld, until } from "./remote-world.ts";

/** A real hub, agent, holder and CLI, with a router between them that is not what the hub takes it for. */

const LIMIT_MS = 60_000;
const SECRET_IN = "what-is-typed-in-secret";
const SECRET_OUT = "what-comes-back-in-secret";

let world: RemoteWorld;
let router: EvilRouter;
beforeAll(async () => {
  world = await createRemoteWorld({ hubFlags: ["--remote-own-router", "false"] });
  router = await startEvilRouter(world.hub());
}, LIMIT_MS);
afterAll(async () => {
  await router[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
});
afterEach(() => {
  router.bend(undefined);
  router.holdApart(false);
});

const audit = async (): Promise<Record<string, string>[]> =>
  (await readFile(join(world.box.stateDir, "logs/remote.log"), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
const refusals = async (session: string) =>
  (await audit())
    .filter((entry) => entry["event"] === "refuse" && entry["session"] === session)
    .map(({ reason }) => reason);
const sh = (flags: readonly string[], script: string) =>
  world.start(["exec", ...flags, world.boxId, "--", "/bin/sh", "-c", script]);

/** What a router can say that plays an operator: it opens what the session is for. */
function openFrames(script: string): readonly Uint8Array[] {
  const what = {
    kind: "exec",
    argv: ["/bin/sh", "-c", script],
    env: {},
    cwd: undefined,
    user: undefined,
    pty: undefined,
    stdin: false,
  } as const;
  const hello = helloBody({ version: 2, incarnation: "evil", received: 0, program: "evil/1" });
  return [
    encodeControl({ seq: 0, channel: 0, body: hello }),
    encodeControl({ seq: 1, channel: 1, body: { case: "open", value: toOpen(what, 65_536) } }),
  ];
}
const proofOf = (ticket: string) =>
  encodeControl({
    seq: 0,
    channel: 0,
    body: { case: "proof", value: create(ProofSchema, { ticket, mac: Buffer.alloc(32, 7) }) },
  });

test(
  "sealed, a router sees sizes: neither what is typed nor what comes back is in what it carries",
  async () => {
    const script = `read line; echo "$line" | tr a-z A-Z; echo ${SECRET_OUT} >&2; exit 9`;
    const run = async (flags: readonly string[]) => {
      router.taken();
      const one = sh(flags, script);
      one.child.stdin.end(`${SECRET_IN}\n`);
      const { code, out, err } = await one.ended;
      expect({ code, out: out.toString() }).toEqual({ code: 9, out: `${SECRET_IN.toUpperCase()}\n` });
      expect(err).toContain(SECRET_OUT);
      return router.taken();
    };
    const keyPath = join(world.box.stateDir, "remote_key.pem");
    const fingerprint = fingerprintOf(publicTextOf(parseRemoteKey(await readFile(keyPath, "utf8"), keyPath)));
    const [open, sealed] = [await run([]), await run(["--seal", "--box-key", fingerprint])];
    for (const secret of [SECRET_IN, SECRET_IN.toUpperCase(), SECRET_OUT, "/bin/sh"]) {
      // What is searched for is there to be found where nothing is sealed.
      expect(open.includes(secret), secret).toBe(true);
      expect(sealed.includes(secret), secret).toBe(false);
    }
    const wrong = ["--seal", "--box-key", `SHA256:${"A".repeat(43)}`];
    const other = await sh(wrong, script).ended;
    expect(other.code).toBe(253);
    expect(other.err).toContain(`${world.boxId} has ${fingerprint}`);
  },
  LIMIT_MS,
);

test.each<["toBox" | "toOperator"]>([["toBox"], ["toOperator"]])(
  "one flipped bit on the way %s ends a sealed session at both ends, with its reason",
  async (direction) => {
    const marker = join(world.directory, `flipped-${direction}`);
    let isChanged = false;
    router.bend((frame, at) => {
      // The first that carries bytes of a pipe, so that there is something to end.
      if (isChanged || at.direction !== direction || frame.length < 1000) return [frame];
      isChanged = true;
      const changed = Buffer.from(frame);
      changed.writeUInt8((changed.at(-20) ?? 0) ^ 0x10, changed.length - 20);
      return [changed];
    });
    const run = sh(["--seal"], `cat; echo reached > ${marker}`);
    run.child.stdin.write(`${SECRET_IN}\n`.repeat(100));
    const { code, err } = await run.ended;
    expect({ code, err: err.includes("was changed, left out or repeated on its way") }).toEqual({
      code: 250,
      err: true,
    });
    await until(async () => {
      const [last] = (await audit()).slice(-1);
      return last?.["event"] === "end" && last["reason"]?.includes("was changed") === true;
    }, "the box tells it");
    expect(existsSync(marker)).toBe(false);
  },
  LIMIT_MS,
);

test(
  "a router that joins alone, with no ticket, with a stolen one or with one of another session, starts nothing",
  async () => {
    router.holdApart(true);
    const marker = join(world.directory, "alone");
    const script = `echo alone > ${marker}`;
    const play = async (proofs: (operator: JoinedEnd) => readonly Uint8Array[], opened = script) => {
      const run = sh([], script);
      const operator = await router.until("operator", ({ session }) => !played.has(session));
      const box = await router.until("box", ({ session }) => session === operator.session);
      played.add(operator.session);
      router.greet(box);
      for (const frame of [...proofs(operator), ...openFrames(opened)]) box.send(frame);
      await until(async () => (await refusals(operator.session)).length > 0, "the box refuses");
      operator.cut();
      run.child.kill("SIGKILL");
      await run.ended;
      return (await refusals(operator.session))[0];
    };
    const played = new Set<string>();
    const other = { ticket: "" };
    expect(await play(() => [])).toMatch(/^no ticket was shown/);
    const stolen = await play((operator) => {
      other.ticket = operator.ticket;
      return [proofOf(operator.ticket)];
    });
    expect(stolen).toMatch(/does not have its key/);
    expect(await play(() => [proofOf(other.ticket)])).toMatch(/another session/);
    // What the operator has proved before it was asked is for the command that they asked for.
    let early: readonly Uint8Array[] = [];
    const proved = await play(({ sent }) => {
      early = [...sent];
      return early;
    }, `echo other > ${marker}`);
    expect([early.length, proved]).toEqual([1, expect.stringMatching(/opened for another command/)]);
    expect(await play(() => early)).toMatch(/another session/);
    expect(existsSync(marker)).toBe(false);
    const opened = (await audit()).filter((entry) => entry["event"] === "open" && played.has(entry["session"] ?? ""));
    expect(opened).toEqual([]);
  },
  LIMIT_MS,
);

test(
  "a router that swaps the command of an open session gets a refusal, and of a sealed one not even that",
  async () => {
    const marker = join(world.directory, "swapped");
    router.bend((frame, { direction }) => {
      if (direction !== "toBox") return [frame];
      const decoded = decodeFrame([frame]);
      if (!("body" in decoded) || decoded.body.case !== "open") return [frame];
      const [, swapped] = openFrames(`echo swapped > ${marker}`);
      return [Buffer.from(swapped ?? frame)];
    });
    const { code, err } = await sh(["--no-stdin"], "echo honest").ended;
    expect(code).not.toBe(0);
    expect(err).toMatch(/was opened for|opened for another|asked/i);
    // The frame that opens is none that could be told from others: everything is changed for something like it.
    router.bend((frame, { direction, index }) =>
      direction === "toBox" && index === 2 ? [...openFrames("true")].map((one) => Buffer.from(one)) : [frame],
    );
    const sealed = await sh(["--no-stdin", "--seal"], "echo honest").ended;
    expect({ out: sealed.out.toString(), isTold: sealed.err.includes("was changed") }).toEqual({
      out: "",
      isTold: true,
    });
    expect(existsSync(marker)).toBe(false);
  },
  LIMIT_MS,
);

test(
  "what an operator said is no use once it was said: replayed at the next meeting it is refused, and the command goes on",
  async () => {
    const count = join(world.directory, "count");
    const run = sh(
      ["--no-stdin", "--seal"],
      `echo begun >> ${count}; for i in $(seq 1 40); do echo $i; sleep 0.1; done`,
    );
    const first = await router.until("operator");
    await until(() => existsSync(count), "the command runs");
    router.holdApart(true);
    const recorded = [...first.sent];
    first.cut();
    const box = await router.until("box", ({ session, attempt }) => session === first.session && attempt > 1);
    router.greet(box);
    for (const frame of recorded) box.send(frame);
    await until(async () => (await refusals(first.session)).length > 0, "the box refuses");
    expect((await refusals(first.session))[0]).toMatch(/another attempt/);
    router.holdApart(false);
    (await router.until("operator", ({ session }) => session === first.session)).cut();
    const { code, out } = await run.ended;
    expect(code).toBe(0);
    expect(out.toString()).toBe(Array.from({ length: 40 }, (_none, index) => `${index + 1}\n`).join(""));
    expect(await readFile(count, "utf8")).toBe("begun\n");
  },
  LIMIT_MS,
);
