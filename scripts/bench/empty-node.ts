import type { Lab } from "./lab.ts";

/** What Node itself costs: from the spawn of an empty program to its end, in milliseconds. */
export async function measureEmptyNode(lab: Lab): Promise<number> {
  const startMs = performance.now();
  await lab.run(process.execPath, ["-e", "0"]);
  return performance.now() - startMs;
}
