import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../base/clock.ts";
import type { ForwardGrant } from "../contract/remote/remote-grant.ts";
import { hostileFrames, speak } from "../remote/hostile-peer.fake.ts";
import { toOpen } from "../remote/open-what.ts";
import { createWindowLedger } from "../remote/receive-window.ts";
import { createRemoteWorld, execOf, grantOf, outcomeOf, type RemoteWorld, sh } from "./remote-world.fake.ts";

const RUNS = process.env["SLUICE_TEST_LONG"] === "1" ? 200 : 30;

const ledger = createWindowLedger();
let world: RemoteWorld;
beforeEach(() => {
  world = createRemoteWorld({ ledger, clock: systemClock });
});
afterEach(() => world.close());

const CAT = grantOf(["/bin/cat"]);
const NOWHERE: ForwardGrant = {
  kind: "forward",
  targets: [
    { host: "127.0.0.1", from: 1, to: 1, protocol: "tcp", reach: "any" },
    { host: "127.0.0.1", from: 1, to: 1, protocol: "udp", reach: "any" },
  ],
};

test.each([
  ["a command", CAT, execOf(CAT, { stdin: true })],
  ["a connection", NOWHERE, { kind: "dial", host: "127.0.0.1", port: 1 }],
  ["an association", NOWHERE, { kind: "associate", host: "127.0.0.1", port: 1 }],
] as const)(
  "whatever the operator of %s says, the holder lives, holds nothing for it afterwards and serves others",
  async (_name, grant, what) => {
    await fc.assert(
      fc.asyncProperty(hostileFrames, async (frames) => {
        const { id, meet } = world.prepare(grant);
        const { pair } = meet();
        const open = { kind: "frame", channel: 1, step: 1, body: { case: "open", value: toOpen(what, 1000) } } as const;
        speak(pair.operator, frames, [open]);
        await systemClock.delay(5);
        try {
          world.holder.end(id, "enough");
        } catch {
          // It has closed it itself.
        }
        pair.operator.cut();
      }),
      { numRuns: RUNS },
    );
    const honest = grantOf(sh("echo still here"));
    const { session } = world.begin(honest);
    const { text } = await outcomeOf(session.open(execOf(honest)));
    session.close();
    expect(text).toBe("still here\n");
    await expect.poll(() => world.holder.size, { timeout: 30_000 }).toBe(0);
    expect(ledger.takenBytes).toBe(0);
  },
  600_000,
);
