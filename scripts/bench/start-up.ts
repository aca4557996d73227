import { createAgentBox } from "./agent-box.ts";
import { measureEmptyNode } from "./empty-node.ts";
import type { Measurement } from "./measurement.ts";

const ROUNDS = 20;

/** From the agent's spawn to what others see of it. */
export const startUp: Measurement = {
  name: "start-up",
  limitMs: 120_000,
  measure: async ({ lab, say }) => {
    await using box = await createAgentBox({ name: "start-up", ffmpegPath: "ffmpeg" }, lab);
    const node: number[] = [];
    const firstLine: number[] = [];
    const connected: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      if (round % 10 === 0) say(`round ${round} of ${ROUNDS}`);
      node.push(await measureEmptyNode(lab));
      const agent = box.start();
      const at = (pattern: RegExp) => agent.lines.find(({ text }) => pattern.test(text))?.atMs;
      await lab.until(() => at(/Connected to SSE endpoint/) !== undefined, "the agent connects");
      firstLine.push((at(/./) ?? Number.NaN) - agent.spawnedAtMs);
      connected.push((at(/Connected to SSE endpoint/) ?? Number.NaN) - agent.spawnedAtMs);
      await box.kill("SIGKILL");
    }
    return [
      { what: "Node alone: spawn → exit of an empty program", unit: "ms", samples: node },
      { what: "agent: spawn → first log line", unit: "ms", samples: firstLine },
      { what: "agent: spawn → connected", unit: "ms", samples: connected },
    ];
  },
};
