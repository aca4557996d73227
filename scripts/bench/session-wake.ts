import { startDocker } from "../../test-server/container-daemon.ts";
import { smallSession } from "../../test-server/container-engine-world.ts";
import { createSessionWorld } from "../../test-server/container-session-world.ts";
import type { Measurement } from "./measurement.ts";

const ROUNDS = 10;
const SLEEPER = ["/usr/bin/perl", "-e", "$SIG{TERM} = sub { exit 0 }; sleep 1 while 1"];
const DEPTHS = [
  { depth: "frozen", sleep: "pause", wake: "unpause" },
  { depth: "stopped", sleep: "stop", wake: "start" },
] as const;

/** From the agent's taking up the wish until the session runs; beside it the engine's own call, turn by turn, on a container of the same kind. */
export const sessionWake: Measurement = {
  name: "session-wake",
  limitMs: 600_000,
  measure: async ({ say }) => {
    await using daemon = await startDocker();
    await using world = await createSessionWorld("docker", daemon);
    await world.startAgent();
    const rows = [];
    for (const { depth, sleep, wake } of DEPTHS) {
      const base = smallSession(`wake-${depth}`, { image: daemon.image, script: SLEEPER });
      const session = { ...base, spec: { ...base.spec, hibernation: depth } };
      const twin = `/v1.41/containers/twin-${depth}`;
      const body = {
        Image: daemon.image,
        Entrypoint: SLEEPER,
        HostConfig: { Binds: ["/usr:/usr:ro"], NetworkMode: "none" },
      };
      await daemon.call("POST", `/v1.41/containers/create?name=twin-${depth}`, body);
      await daemon.call("POST", `${twin}/start`);
      world.server.putStreams(session);
      await world.untilState(session.id, "running");
      const [ours, theirs]: [number[], number[]] = [[], []];
      for (let round = 1; round <= ROUNDS; round++) {
        world.server.putStreams({ ...session, power: { state: "hibernated", turn: 2 * round } });
        await world.untilState(session.id, "hibernated");
        await daemon.call("POST", `${twin}/${sleep}`);
        const startMs = performance.now();
        await daemon.call("POST", `${twin}/${wake}`);
        theirs.push(performance.now() - startMs);
        world.server.putStreams({ ...session, power: { state: "running", turn: 2 * round + 1 } });
        const woken = await world.untilState(session.id, "running");
        ours.push(woken.session?.wakeMs?.[depth] ?? Number.NaN);
        say(`${depth}, round ${round} of ${ROUNDS}`);
      }
      const peers = [{ name: `docker ${wake}`, samples: theirs }];
      rows.push({ what: `a session wakes that was ${depth} (Docker)`, unit: "ms" as const, samples: ours, peers });
    }
    return rows;
  },
};
