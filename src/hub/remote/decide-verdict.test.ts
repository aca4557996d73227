import { expect, test } from "vitest";
import type { RouterWhy, Verdict } from "../../contract/fleet/remote-why.ts";
import type { BoxWhy, ChannelWhy, CommandWhy } from "../../contract/remote/box-why.ts";
import { decideVerdict, type WhyFacts } from "./decide-verdict.ts";

type Link = NonNullable<BoxWhy["link"]>;

const LINK: Link = {
  ...{ isUp: true, rttMs: 1, silentMs: 100, answeredMs: 2, waitedMs: 600, unackedBytes: 0, limitBytes: 262_144 },
  ...{ fullShare: 0, creditShare: 0, toBoxPerSecond: 0, fromBoxPerSecond: 0 },
};
const COMMAND: CommandWhy = {
  ...{ pid: 7, hasExited: false, processes: 1, state: "sleeps", cpus: 0, sleepsIn: "do_wait", readsInput: false },
  ...{ isInputOpen: true, inputBytes: 0 },
};
const CHANNEL: ChannelWhy = {
  ...{ id: 1, what: "command", openMs: 60_000 },
  toBox: { bytes: 0, heldBytes: 0, heldMs: 0 },
  fromBox: { bytes: 0, queuedBytes: 0, creditBytes: 262_144, isEnded: false },
};
const READS = { queuedBytes: 0, unackedBytes: 0, heldBytes: 0, heldMs: 0 };
const ROUTER: RouterWhy = {
  ...{ id: "r-1", sides: ["operator", "box"], operatorStalledMs: 0, boxStalledMs: 0 },
  ...{ operatorQuietMs: 10, boxQuietMs: 10 },
};
const TARGET = { bytes: 5, waitingBytes: 0, saidBytes: 0 };

interface Given {
  readonly state?: WhyFacts["remote"]["state"];
  readonly connection?: WhyFacts["connection"];
  readonly router?: Partial<RouterWhy> | null;
  readonly box?: Partial<BoxWhy> | null;
  readonly link?: Partial<Link>;
  readonly command?: Partial<CommandWhy> | null;
  readonly channel?: Partial<ChannelWhy> | null;
}

function decide({ state = "open", connection = "online", router, box, link, command, channel }: Given) {
  const channels = channel === null ? [] : [{ ...CHANNEL, ...channel }];
  const { command: _none, ...base } = {
    state: "open" as const,
    link: { ...LINK, ...link },
    operator: READS,
    channelCount: channels.length,
    channels,
    command: undefined,
  };
  const onBox: BoxWhy | undefined =
    box === null
      ? undefined
      : { ...base, ...(command === null ? {} : { command: { ...COMMAND, ...command } }), ...box };
  return decideVerdict({
    remote: { state, reason: "that is why", box: "north-1", operator: "ann" },
    connection,
    router: router === null ? undefined : { ...ROUTER, ...router },
    onBox,
  });
}

const forwarded = (channel: Partial<ChannelWhy>, given: Given = {}): Given => ({ ...given, command: null, channel });
const out = (fromBox: Partial<ChannelWhy["fromBox"]>): Partial<ChannelWhy> => ({
  fromBox: { ...CHANNEL.fromBox, ...fromBox },
});
const into = (toBox: Partial<ChannelWhy["toBox"]>): Partial<ChannelWhy> => ({ toBox: { ...CHANNEL.toBox, ...toBox } });

const CASES: readonly (readonly [string, Given, Verdict, RegExp])[] = [
  ["over", { state: "ended" }, "ended", /it is over: that is why/],
  ["detached", { state: "broken", box: { state: "detached" } }, "detached", /nobody is attached/],
  ["no box yet", { state: "waiting", router: { sides: ["operator"] }, box: null }, "waiting-for-box", /has not come/],
  [
    "a box that is away",
    { state: "waiting", connection: "offline", router: null, box: null },
    "waiting-for-box",
    /is offline/,
  ],
  ["no operator yet", { state: "waiting", router: { sides: ["box"] } }, "waiting-for-operator", /program of ann/],
  ["broken", { state: "broken", router: null }, "link-dead", /that is why; both ends may join again/],
  ["nobody tells", { box: null, connection: "offline" }, "unknown", /is offline and tells nothing/],
  ["only the router tells", { box: null, router: { operatorStalledMs: 9000 } }, "link-dead", /ann has taken nothing/],
  ["no link on the box", { link: { isUp: false } }, "link-dead", /no connection to the operator's end/],
  ["no answer", { link: { answeredMs: undefined, waitedMs: 3000 } }, "link-dead", /does not answer.*3\.0 s/],
  [
    "no answer, and the router knows who takes nothing",
    { link: { answeredMs: undefined }, router: { boxStalledMs: 4000 } },
    "link-dead",
    /box north-1 has taken nothing/,
  ],
  [
    "no answer in time on a full link that still moves",
    { link: { answeredMs: undefined, ackedMs: 100, fullShare: 1, fromBoxPerSecond: 60_000 } },
    "link-saturated",
    /60 kB\/s and no more/,
  ],
  ["a full link", { link: { fullShare: 0.5, unackedBytes: 200_000 } }, "link-saturated", /200 kB are under way/],
  ["a link that is full now and then", { link: { fullShare: 0.4, fromBoxPerSecond: 5 } }, "moving", /5 bytes\/s from/],
  [
    "an upload that fills the link",
    { link: { toBoxPerSecond: 900 }, box: { operator: { ...READS, queuedBytes: 5, unackedBytes: 9 } } },
    "link-saturated",
    /link to the box carries 900 bytes\/s/,
  ],
  [
    "nobody reads",
    {
      link: { creditShare: 1 },
      channel: out({ queuedBytes: 65_536, creditBytes: 0 }),
      box: { operator: { ...READS, heldBytes: 262_144, heldMs: 12_000 } },
    },
    "waiting-for-reader",
    /nobody reads.*66 kB wait on the box; 262 kB lie there.*12 s/,
  ],
  [
    "nobody reads, by a foreign end",
    { link: { creditShare: 1 }, channel: out({ queuedBytes: 9, creditBytes: 0 }), box: { operator: undefined } },
    "waiting-for-reader",
    /nobody reads/,
  ],
  [
    "somebody reads slowly",
    {
      link: { creditShare: 1, fromBoxPerSecond: 20 },
      channel: out({ queuedBytes: 9, creditBytes: 0 }),
      box: { operator: { ...READS, heldBytes: 9, heldMs: 10 } },
    },
    "waiting-for-reader",
    /reads 20 bytes\/s, and more could come/,
  ],
  [
    "no room for more",
    { link: { creditShare: 0.9 }, channel: out({ queuedBytes: 9, creditBytes: 0 }) },
    "waiting-for-credit",
    /9 bytes wait for credit/,
  ],
  [
    "an end that was not taken",
    { command: { hasExited: true }, channel: out({ isEnded: true }), box: { operator: { ...READS, heldBytes: 4 } } },
    "waiting-for-reader",
    /has ended.*4 bytes of its output/,
  ],
  ["an output that is held", { command: { hasExited: true } }, "waiting-for-process", /still holds its output/],
  [
    "input that is not read",
    { channel: into({ heldBytes: 5000, heldMs: 3000 }), command: { inputBytes: 100, state: "stopped" } },
    "waiting-for-process",
    /does not read its input, of which 5100 bytes wait: .*stopped by a signal/,
  ],
  ["input that waits", { command: { readsInput: true } }, "waiting-for-input", /waits for its standard input/],
  ["input that has ended", { command: { readsInput: true, isInputOpen: false } }, "waiting-for-process", /sleeps/],
  ["a stopped command", { command: { state: "stopped" } }, "waiting-for-process", /SIGCONT/],
  ["a busy command", { command: { state: "runs", cpus: 1.5 } }, "waiting-for-process", /computes \(1\.5 processors\)/],
  ["a hung disk", { command: { state: "uninterruptible" } }, "waiting-for-process", /waits for the kernel in do_wait/],
  [
    "a sleeping command",
    { command: { processes: 3 } },
    "waiting-for-process",
    /process 7, 3 in all\) sleeps in do_wait/,
  ],
  ["a target that never said anything", forwarded({ target: TARGET }), "target-silent", /5 bytes.*dialled 60 s ago/],
  [
    "a target that does not answer",
    forwarded({ target: { ...TARGET, quietMs: 9000 }, toBox: { bytes: 5, heldBytes: 0, heldMs: 0, quietMs: 5000 } }),
    "target-silent",
    /said nothing for 9\.0 s/,
  ],
  [
    "a target that spoke last",
    forwarded({ target: { ...TARGET, quietMs: 5000 }, toBox: { bytes: 5, heldBytes: 0, heldMs: 0, quietMs: 9000 } }),
    "idle",
    /neither side says anything/,
  ],
  [
    "a target that takes nothing",
    forwarded({ target: { ...TARGET, waitingBytes: 70_000 } }),
    "target-silent",
    /takes nothing more: 70 kB wait/,
  ],
  ["nothing is open", { command: null, channel: null }, "idle", /nothing is open/],
  ["bytes move", { link: { toBoxPerSecond: 1200 } }, "moving", /1200 bytes\/s to the box/],
];

test.each(CASES)("%s", (_name, given, verdict, sentence) => {
  const found = decide(given);
  expect(found).toEqual({ verdict, sentence: expect.stringMatching(sentence) });
});
