import { expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { redisRefusal } from "../redis-server.ts";
import { tortureHubs } from "./hub-torture.ts";

const isLong = process.env["SLUICE_TEST_LONG"] === "1";
const MINUTES = isLong ? 2 : 0.25;
const SEED = 4;

test.skipIf(redisRefusal !== undefined)(
  "two hubs, one Redis, ten agents: hubs are killed while workloads change, and no acknowledged write is lost, no revision is missed or comes twice, cursors carry over and no stream notices",
  { timeout: 600_000 },
  async () => {
    const said: string[] = [];
    const summary = await tortureHubs(
      { seed: SEED, minutes: MINUTES, isBuilt: process.env["SLUICE_TEST_PROGRAM"] !== undefined },
      { clock: systemClock, say: (line) => said.push(line), signal: new AbortController().signal },
    );
    expect(summary.failure, said.join("\n")).toBeUndefined();
    expect(summary.kills).toBeGreaterThan(isLong ? 5 : 0);
    // Otherwise it was no test: boxes came back, and there was something to lose.
    expect(summary.connections).toBeGreaterThan(summary.boxes);
    expect(summary.writes).toBeGreaterThan(summary.boxes * 3);
  },
);
