import { spawn } from "node:child_process";
import type { Clock } from "../../src/base/clock.ts";
import type { Action, TortureStream } from "./action.ts";
import { signalQuietly } from "./own-processes.ts";
import { tamper } from "./tamper.ts";
import type { TortureWorld } from "./torture-world.ts";
import { violation } from "./violation.ts";

export interface PerformDeps {
  readonly world: TortureWorld;
  readonly clock: Clock;
  /** What the server expects when the step is over. */
  readonly expected: readonly TortureStream[];
  readonly signal: AbortSignal;
}

const SECOND_AGENT_EXIT = 75;

/** Does it, and undoes what can be undone after its time; resolves then. */
export async function perform(action: Action, deps: PerformDeps): Promise<void> {
  const { world, clock, expected, signal } = deps;
  const { server, agent } = world;
  const during = async (ms: number, undo: () => void | Promise<void>) => {
    try {
      await clock.delay(ms, signal);
    } finally {
      await undo();
    }
  };
  switch (action.kind) {
    case "put":
    case "change":
      return server.put(world.workloadOf(action.stream));
    case "remove":
      return server.remove(action.stream.id);
    case "shrink":
      if (action.how === "lose-state") return server.fault("lose-state", { drop: false });
      return server.replace(expected.slice(0, action.keep).map(world.workloadOf));
    case "fault":
      await server.fault(action.name, action.args);
      return during(action.ms, () => undefined);
    case "send":
      return server.sendRaw(action.raw);
    case "disk":
      if (action.how === "full") world.disk?.fill();
      else world.disk?.makeReadOnly();
      return during(action.ms, () => (action.how === "full" ? world.disk?.makeRoom() : world.disk?.makeWritable()));
    case "stray":
      return leaveStray(action.id, world);
    case "clock":
      return world.stepClock(action.seconds);
    case "agent-end":
      await agent.end(action.signal);
      if (action.tamper !== undefined) tamper(action.tamper, world);
      return during(action.downMs, () => agent.start());
    case "agent-freeze":
      agent.signal("SIGSTOP");
      return during(action.ms, () => void agent.signal("SIGCONT"));
    case "agent-second":
      return refuseSecond(world);
    case "ffmpeg": {
      const victim = world.processes.marked().find(({ workloadId }) => workloadId === action.id);
      if (victim !== undefined) signalQuietly(victim.pid, action.signal);
      return;
    }
    case "server-kill":
      await server.kill();
      return during(action.downMs, async () => {
        await server.start();
        await server.replace(expected.map(world.workloadOf));
      });
    case "server-freeze":
      server.signal("SIGSTOP");
      return during(action.ms, () => server.signal("SIGCONT"));
    case "network":
      world.network?.cut(action.how);
      return during(action.ms, () => world.network?.heal());
  }
}

/** A process of an earlier generation that no agent knows: whole mark, our state directory. */
function leaveStray(id: string, { boxId, stateDir }: TortureWorld): void {
  const stray = spawn("sleep", ["100000"], {
    detached: true,
    stdio: "ignore",
    env: {
      SLUICE_WORKLOAD: `${boxId}/${id}/0/${"ef".repeat(16)}`,
      SLUICE_SPEC: "stream/1",
      SLUICE_STATE_DIR: stateDir,
      PATH: process.env["PATH"],
    },
  });
  stray.unref();
}

async function refuseSecond({ agent }: TortureWorld): Promise<void> {
  const { code, signal } = await agent.startSecond();
  if (code !== SECOND_AGENT_EXIT) {
    throw violation("one agent", `a second agent ended with ${code ?? signal}, not with ${SECOND_AGENT_EXIT}`);
  }
}
