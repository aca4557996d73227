import { connect, createServer } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";
import { pageSchema } from "../src/contract/fleet/page.ts";
import { type RemoteView, remoteViewSchema } from "../src/contract/fleet/remote.ts";
import { type RemoteWhyView, remoteWhyViewSchema, type Verdict } from "../src/contract/fleet/remote-why.ts";
import { describeOperation } from "../src/contract/remote/operation.ts";
import { createRemoteWorld, type RemoteWorld, type Running, until } from "./remote-world.ts";
import { type SlowRelay, startSlowRelay } from "./slow-relay.ts";

const LIMIT_MS = 120_000;

const world = Promise.withResolvers<RemoteWorld>();
const life = new AsyncDisposableStack();
beforeAll(async () => {
  world.resolve(life.use(await createRemoteWorld()));
}, LIMIT_MS);
afterAll(() => life.disposeAsync());

const remotes = async (): Promise<readonly RemoteView[]> =>
  pageSchema(remoteViewSchema).parse(await (await world.promise).hub().call("GET", "/v1/remote?limit=100")).items;

/** The session that does this, once it is open. */
async function sessionOf(does: string): Promise<string> {
  let id = "";
  await until(
    async () => {
      const found = (await remotes()).find(
        ({ operation, state }) => state === "open" && `${describeOperation(operation)}$`.includes(does),
      );
      id = found?.id ?? "";
      return found !== undefined;
    },
    `a session with ${does} is open`,
    60_000,
  );
  return id;
}

async function whyOf(id: string): Promise<RemoteWhyView> {
  return remoteWhyViewSchema.parse(await (await world.promise).hub().call("GET", `/v1/remote/${id}/why`));
}

/** Asks until it is so: what is to be found out needs its time to begin. */
async function hears(id: string, verdict: Verdict, sentence: RegExp): Promise<RemoteWhyView> {
  const endMs = systemClock.monotonicMs() + 60_000;
  for (;;) {
    const view = await whyOf(id);
    if (view.verdict === verdict && sentence.test(view.sentence)) return view;
    if (systemClock.monotonicMs() > endMs)
      throw new AppError("timeout", `${verdict} was expected: ${JSON.stringify(view)}`);
  }
}

const end = ({ child }: Running) => {
  child.kill("SIGKILL");
};

test(
  "each thing that holds a session up is named, while all of them do",
  async () => {
    const { boxId, start, hub } = await world.promise;
    const relayTo = async (): Promise<SlowRelay> => life.use(await startSlowRelay(() => hub().port));
    const [thin, cut] = [await relayTo(), await relayTo()];
    const over = (relay: SlowRelay) => ({ SLUICE_HUB: `http://127.0.0.1:${relay.port}` });
    const accepted = new Set<{ destroy(): void }>();
    const target = createServer((socket) => {
      accepted.add(socket);
      socket.on("error", () => undefined);
    });
    await new Promise<void>((done) => target.listen(0, "127.0.0.1", done));
    const { port } = target.address() as { port: number };
    const exec = (argv: readonly string[], env = {}) => start(["exec", boxId, "--", ...argv], env);

    const unread = exec(["/bin/cat", "/dev/zero"]);
    unread.child.stdout.pause();
    const running = [
      unread,
      exec(["/bin/cat"]),
      start(["exec", boxId, "--no-stdin", "--", "/bin/sh", "-c", "kill -STOP $$"]),
      start(["exec", boxId, "--no-stdin", "--", "/bin/sleep", "1001"], over(cut)),
      exec(["/usr/bin/head", "-c", "100000000000", "/dev/zero"], over(thin)),
    ];
    const forward = start(["forward", boxId, `0:localhost:${port}`]);
    let said = "";
    forward.child.stdout.on("data", (text: Buffer) => {
      said += text.toString();
    });
    forward.child.stderr.on("data", (text: Buffer) => {
      said += text.toString();
    });
    let client: ReturnType<typeof connect> | undefined;
    try {
      await until(() => /127\.0\.0\.1:\d+/.test(said), `it listens: ${said}`, 60_000);
      client = connect(Number(/127\.0\.0\.1:(\d+)/.exec(said)?.[1]), "127.0.0.1");
      client.on("error", () => undefined);
      client.write("hello");

      const [zeros, cat, frozen, dead, bulk, silent] = await Promise.all([
        sessionOf("cat /dev/zero"),
        sessionOf("exec /bin/cat$"),
        sessionOf("kill -STOP"),
        sessionOf("sleep 1001"),
        sessionOf("head -c"),
        sessionOf("forward to"),
      ]);
      // What is open at the hub may still be on its way to the box.
      await until(async () => (await whyOf(dead)).onBox?.command !== undefined, "the command has been started", 60_000);
      thin.setRate(500_000);
      cut.setRate(0);
      const [reader, input, process, link, full, target5] = await Promise.all([
        hears(zeros, "waiting-for-reader", /nobody reads the output at the operator's end.* lie there/),
        hears(cat, "waiting-for-input", /waits for its standard input/),
        hears(frozen, "waiting-for-process", /is stopped by a signal/),
        hears(dead, "link-dead", /does not answer|has taken nothing/),
        hears(bulk, "link-saturated", /and no more/),
        hears(silent, "target-silent", /has taken 5 bytes and said nothing/),
      ]);
      expect(full.onBox?.link?.fullShare).toBeGreaterThanOrEqual(0.5);
      for (const view of [reader, input, process, link, full, target5]) {
        expect(view.router?.sides).toEqual(["operator", "box"]);
      }

      const told = await start(["why", frozen]).ended;
      expect({ code: told.code, err: told.err }).toEqual({ code: 75, err: "" });
      expect(told.out.toString()).toMatch(/^waiting-for-process: the command \(process \d+\) is stopped by a signal/);
    } finally {
      client?.destroy();
      for (const one of [...running, forward]) end(one);
      for (const socket of accepted) socket.destroy();
      target.close();
    }
  },
  LIMIT_MS,
);
