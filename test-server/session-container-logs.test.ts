import { join } from "node:path";
import { expect, test } from "vitest";
import { createLocalAgent } from "../src/client/local-agent.ts";
import type { LogRecord } from "../src/contract/fleet/log-line.ts";
import type { SessionWorkload } from "../src/contract/workload.ts";
import { dockerRefusal, podmanRefusal, startDocker, startPodman } from "./container-daemon.ts";
import { createSessionWorld } from "./container-session-world.ts";

/** A line of 40,000 bytes first, then counting on both outputs; each run has a name of its own. */
const COUNTING = `
r=$(date +%s%N)
i=0
trap 'echo "run $r last $i"; exit 0' TERM
printf '%040000d\\n' 7
while :; do i=$((i+1)); echo "run $r out $i"; echo "run $r err $i" >&2; sleep 0.02; done`;

const isLong = process.env["SLUICE_TEST_LONG"] === "1";

const ENGINES = [
  { platform: "docker", refusal: dockerRefusal, startDaemon: startDocker },
  {
    platform: "podman",
    refusal: podmanRefusal ?? (isLong ? undefined : "takes half a minute more: SLUICE_TEST_LONG=1"),
    startDaemon: startPodman,
  },
] as const;

for (const { platform, refusal, startDaemon } of ENGINES) {
  test(`A12: what a container of ${platform} writes is logged once, across kills of the agent and of the engine, and its sleep`, async ({
    skip,
  }) => {
    skip(refusal !== undefined, refusal);
    await using daemon = await startDaemon();
    await using world = await createSessionWorld(platform, daemon);
    await world.startAgent();
    const session = (state: "running" | "hibernated", turn: number): SessionWorkload => ({
      kind: "session",
      id: "count",
      power: { state, turn },
      spec: {
        user: "anna",
        platform,
        template: { image: daemon.image, command: ["/bin/sh", "-c", COUNTING] },
        volumes: [{ name: "usr", path: "/usr", hostPath: "/usr", readOnly: true }],
      },
    });
    const local = createLocalAgent({ socketPath: join(world.stateDir, "agent.sock") });
    const read = async () => {
      const records: LogRecord[] = [];
      const wish = { lines: 100_000, follow: false, since: undefined, output: undefined };
      for await (const record of local.logRecords("count", wish, AbortSignal.timeout(10_000))) records.push(record);
      return records;
    };
    const untilMore = async () => {
      const before = (await read()).length;
      await world.until(async () => (await read()).length > before + 40, "more lines");
    };

    world.server.putStreams(session("running", 1));
    await world.untilState("count", "running");
    await untilMore();
    await world.killAgent("SIGKILL");
    await world.startAgent();
    await untilMore();
    world.server.putStreams(session("hibernated", 2));
    await world.untilState("count", "hibernated");
    const lasts = async () =>
      (await read()).filter((record) => record.type === "line" && / last \d+$/.test(record.text)).length;
    await world.until(async () => (await lasts()) === 1, "the last words before its sleep");
    world.server.putStreams(session("running", 3));
    await world.untilState("count", "running");
    await untilMore();
    await daemon.kill();
    await daemon.start();
    await untilMore();
    world.server.putStreams(session("hibernated", 4));
    await world.untilState("count", "hibernated");
    await world.until(async () => (await lasts()) >= 2, "the last words before its second sleep");

    const records = await read();
    expect(records.filter(({ type }) => type !== "line")).toEqual([]);
    const lines = records.flatMap((record) => (record.type === "line" ? [record] : []));
    const counts = new Map<string, number[]>();
    for (const { text, output } of lines) {
      const [, run, kind, number] = /^run (\d+) (out|err|last) (\d+)$/.exec(text) ?? [];
      if (run === undefined) continue;
      expect(output).toBe(kind === "err" ? "stderr" : "stdout");
      counts.set(`${run} ${kind}`, [...(counts.get(`${run} ${kind}`) ?? []), Number(number)]);
    }
    for (const [name, numbers] of counts) {
      const last = name.endsWith("last") ? numbers : Array.from({ length: numbers.length }, (_, index) => index + 1);
      expect(numbers, name).toEqual(last);
      const [said = numbers.length] = counts.get(`${name.split(" ")[0]} last`) ?? [];
      if (!name.endsWith("last")) expect(numbers.length).toBe(said);
    }
    const long = lines.filter(({ text }) => /^0+7?$/.test(text));
    expect(long.reduce((sum, { text }) => sum + text.length, 0) % 40_000).toBe(0);
    expect(long.some(({ continues }) => continues === true)).toBe(true);
  }, 180_000);
}
