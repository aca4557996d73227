import { afterEach, beforeEach, expect, test } from "vitest";
import { BOX_ID, createRemoteWorld, execOf, grantOf, outcomeOf, type RemoteWorld, sh } from "./remote-world.fake.ts";

let world: RemoteWorld;
beforeEach(() => {
  world = createRemoteWorld();
});
afterEach(() => world.close());

const HELLO = grantOf(sh("echo hello"));

test("a command runs for whoever proved themselves before the box has asked, and comes back with an asked proof", async () => {
  const slow = grantOf(sh("read line; echo $line"));
  const { session, meet, connect } = world.prepare(slow, { isEarly: true });
  const first = meet();
  void first.proven.then((carrier) => session.carry(carrier)).catch(() => undefined);
  const channel = session.open(execOf(slow, { stdin: true }));
  await channel.opened;
  first.pair.break();
  // Only the first attempt may be early: what is resumed was begun, and its ticket is another.
  const second = connect(true);
  await expect(second.ended).resolves.toMatchObject({
    reason: "refused",
    message: expect.stringContaining("which it does not take here"),
  });
  expect(world.holder.status().sessions).toMatchObject([{ state: "broken" }]);
  session.close();
});

test("an early proof counts once, also where the box hears of the same attempt twice", async () => {
  const { session, meet } = world.prepare(HELLO, { isEarly: true });
  const { proven, offer, early } = meet();
  void proven.then((carrier) => session.carry(carrier)).catch(() => undefined);
  const channel = session.open(execOf(HELLO));
  await channel.opened;
  const { pair } = world.dialled(() => world.holder.offer({ offer, grant: HELLO, box: BOX_ID, isKnown: true }));
  pair.operator.send([early?.frame ?? Buffer.alloc(0)]);
  await expect
    .poll(() => world.audit().filter(({ event }) => event === "refuse"))
    .toMatchObject([{ reason: "the ticket was shown before: the hub gives another" }]);
  session.close();
});

test("an early proof does not do where the session is to be sealed, or shows a terminal", async () => {
  const onTerminal = grantOf(sh("echo hello"), { pty: true });
  for (const [grant, given] of [
    [HELLO, { isSealed: true }],
    [onTerminal, {}],
  ] as const) {
    const { connect } = world.prepare(grant, { isEarly: true, ...given });
    await expect(connect().ended).resolves.toMatchObject({ reason: "refused" });
  }
  expect(world.audit().filter(({ event }) => event === "open")).toEqual([]);
});

test("what a command says that is begun so arrives whole", async () => {
  const { session, connect } = world.prepare(HELLO, { isEarly: true });
  connect();
  const { text, isWhole } = await outcomeOf(session.open(execOf(HELLO)));
  expect([text, isWhole]).toEqual(["hello\n", true]);
  session.close();
});
