import { readFileSync } from "node:fs";
import { relative } from "node:path";
import type { TortureStream } from "./action.ts";
import { filesBelow, orGone } from "./files-below.ts";
import type { TortureWorld } from "./torture-world.ts";

/** What must hold addresses to do its work: the expected set itself. For the agent's user alone. */
const MAY_HOLD = /^persistent_state\.json(?:$|\.)/;
const ALL_LINES = 100_000;

/** Looks for keys and tokens wherever people read. Gives the first place, or undefined. */
export async function findSecret(expected: readonly TortureStream[], world: TortureWorld): Promise<string | undefined> {
  const { stateDir, agent, server, secrets } = world;
  const holds = (text: string) => secrets.some((secret) => text.includes(secret));
  for (const { path, mode } of filesBelow(stateDir)) {
    const name = relative(stateDir, path);
    if (!holds(orGone(() => readFileSync(path, "latin1")) ?? "")) continue;
    if (!MAY_HOLD.test(name)) return `the file ${name}`;
    if ((mode & 0o077) !== 0) return `the file ${name}, which others may read (mode ${mode.toString(8)})`;
  }
  if (holds(agent.output())) return "what the agent writes to its terminal";
  const signal = AbortSignal.timeout(10_000);
  if (holds(JSON.stringify(await agent.status()))) return "GET /v1/status";
  for (const { id } of expected.slice(0, 2)) {
    if (holds(JSON.stringify(await agent.local.explain(id, signal)))) return `GET /v1/explain/${id}`;
    for await (const text of agent.local.logs(id, { lines: ALL_LINES, follow: false }, signal)) {
      if (holds(text)) return `GET /v1/logs/${id}`;
    }
  }
  return holds(await server.reports()) ? "a report" : undefined;
}
