#!/usr/bin/env node
/** What `scripts/try` runs: a hub, a box with a stream and a receiver, for a person to watch or, with `--check`, as a proof. */
import { mkdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { resolve } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { messageOf } from "../src/base/errors.ts";
import { formatWallTime } from "../src/base/log.ts";
import { untilAborted } from "../src/base/service.ts";
import { createHubWorld } from "./hub-world.ts";
import { DEFAULT_OPTIONS } from "./options.ts";
import { describeMedia, runTour, startStream } from "./tour.ts";
import { watchWorld } from "./watch.ts";

const STATE_DIR = resolve(import.meta.dirname, "../.try");
const HUB_PORT = 8080;
const isCheck = process.argv.includes("--check");
const say = (line: string) => process.stdout.write(`${formatWallTime(systemClock.wallMs()).slice(11)} ${line}\n`);

const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => stop.abort());

async function main(): Promise<number> {
  rmSync(STATE_DIR, { recursive: true, force: true });
  mkdirSync(STATE_DIR, { mode: 0o700 });
  await using hubWorld = await createHubWorld({
    hub: { dataDir: resolve(STATE_DIR, "hub"), port: (await isFree(HUB_PORT)) ? HUB_PORT : 0 },
    world: {
      stateDir: STATE_DIR,
      server: { port: DEFAULT_OPTIONS.port, rtmpPort: DEFAULT_OPTIONS.rtmpPort },
      // The README's application.
      agentArguments: ["--report-interval-seconds", "2", "--policy-session-commands", "/usr/bin/python3"],
    },
  });
  const { hub, world } = hubWorld;
  say(`hub   ${hub.origin}/   sign in with ${hub.adminToken}`);
  say(`API   ${hub.origin}/docs`);
  say(`RTMP  ${world.server.rtmp?.url}/<key>   received here, shown at ${world.server.origin}/`);
  say(`state ${world.stateDir}`);
  if (isCheck) {
    const isGood = await Promise.race([runTour(hubWorld, say), untilAborted(stop.signal).then(() => false)]);
    return isGood ? 0 : 1;
  }

  await hubWorld.enrol();
  await world.startAgent();
  await startStream(hubWorld);
  const watching = watchWorld(hubWorld, say, stop.signal);
  await world.untilRunning("demo").then(
    async () => say(`media arrives: ${await describeMedia(hubWorld)}`),
    (thrown: unknown) => say(`the stream does not run yet: ${messageOf(thrown)}`),
  );
  say(`Open ${hub.origin}/ to see the picture and the charts. The command line does the same:`);
  say(`  scripts/sluice login ${hub.origin} --token-file .try/admin.token`);
  say("  scripts/sluice stream ls --watch");
  say(
    "  scripts/sluice session start files --port 8000:8000/http --wait -- /usr/bin/python3 -m http.server 8000 --bind 127.0.0.1",
  );
  say("Ctrl-C ends everything.");
  await watching;
  say("Ending the hub, the agent and its streams");
  return 0;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const probe = createServer();
    probe.once("error", () => done(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => done(true)));
  });
}

let exitCode = 1;
try {
  exitCode = await main();
} catch (thrown) {
  say(`scripts/try: ${messageOf(thrown)}`);
}
process.exit(exitCode);
