#!/usr/bin/env node
/** What `scripts/try` runs: a test server, an agent and a stream, for a person to watch or, with `--check`, as a proof. */
import { mkdirSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { messageOf } from "../src/base/errors.ts";
import { formatWallTime } from "../src/base/log.ts";
import { untilAborted } from "../src/base/service.ts";
import { createAgentWorld } from "./agent-world.ts";
import { DEFAULT_OPTIONS } from "./options.ts";
import { describeMedia, post, runTour } from "./tour.ts";
import { watchWorld } from "./watch.ts";

const STATE_DIR = resolve(import.meta.dirname, "../.try");
const isCheck = process.argv.includes("--check");
const say = (line: string) => process.stdout.write(`${formatWallTime(systemClock.wallMs()).slice(11)} ${line}\n`);

const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => stop.abort());

async function main(): Promise<number> {
  rmSync(STATE_DIR, { recursive: true, force: true });
  mkdirSync(STATE_DIR, { mode: 0o700 });
  await using world = await createAgentWorld({
    stateDir: STATE_DIR,
    server: { port: DEFAULT_OPTIONS.port, rtmpPort: DEFAULT_OPTIONS.rtmpPort },
    eventsPath: "/events",
  });
  say(`page  ${world.server.origin}/`);
  say(`SSE   ${world.server.eventsUrl}`);
  say(`RTMP  ${world.server.rtmp?.url}/<key>`);
  say(`state ${world.stateDir}`);
  if (isCheck) {
    const isGood = await Promise.race([runTour(world, say), untilAborted(stop.signal).then(() => false)]);
    return isGood ? 0 : 1;
  }

  await world.startAgent();
  await post(world, "/streams", { id: "demo", input: "test://bars?size=640x360&fps=25&tone=440" });
  const watching = watchWorld(world, say, stop.signal);
  await world.untilRunning("demo").then(
    async () => say(`media arrives: ${await describeMedia(world, "demo")}`),
    (thrown: unknown) => say(`the stream does not run yet: ${messageOf(thrown)}`),
  );
  say(
    `Open ${world.server.origin}/ to see the picture and to break things. scripts/sluice status --state-dir .try asks the agent.`,
  );
  say("Ctrl-C ends everything.");
  await watching;
  say("Ending the agent and its streams");
  return 0;
}

let exitCode = 1;
try {
  exitCode = await main();
} catch (thrown) {
  say(`scripts/try: ${messageOf(thrown)}`);
}
process.exit(exitCode);
