import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createFakeClock } from "../../../base/clock.fake.ts";
import type { HttpFetch } from "../../../base/http-fetch.ts";
import { createMemoryLog } from "../../../base/log.ts";
import { awayLoudness } from "../away-loudness.ts";
import { openContainerEngine } from "./open-container-engine.ts";

const CALM = { isAbsent: false, wasReady: false, isNamed: false, isAwaited: false };

test.each([
  { what: "nobody needs it and nothing is there", engine: { ...CALM, isAbsent: true }, loudness: "silent" },
  { what: "nobody needs it and it does not let this user in", engine: CALM, loudness: "info" },
  { what: "it was lost", engine: { ...CALM, wasReady: true }, loudness: "warn" },
  { what: "somebody set it", engine: { ...CALM, isAbsent: true, isNamed: true }, loudness: "warn" },
  { what: "a session waits for it", engine: { ...CALM, isAbsent: true, isAwaited: true }, loudness: "warn" },
])("an engine that is away, and $what: $loudness", ({ engine, loudness }) => {
  expect(awayLoudness(engine)).toBe(loudness);
});

/** An engine whose socket is a plain file or nothing, behind a connection that does what the test says. */
function openWorld({ isNamed = false } = {}) {
  const directory = mkdtempSync(join(tmpdir(), "sluice-away-"));
  const socketPath = join(directory, "engine.sock");
  const clock = createFakeClock();
  const log = createMemoryLog();
  const life = new AbortController();
  const state = { isAwaited: false, changes: 0 };
  const fetch: HttpFetch = async () => {
    throw Object.assign(new TypeError("connect failed"), { code: "EACCES" });
  };
  const engine = openContainerEngine(
    { engine: "docker", socketPath, isNamed, stateDir: directory, address: "127.0.0.1" },
    {
      clock,
      random: () => 0.5,
      fetch,
      log,
      progress: { advance: () => undefined, rest: () => undefined },
      signal: life.signal,
    },
  );
  const running = engine.run(life.signal, {
    onAppeared: async () => undefined,
    onChange: () => {
      state.changes += 1;
    },
    isKept: () => true,
    volumeRules: () => new Map(),
    isAwaited: () => state.isAwaited,
  });
  onTestFinished(async () => {
    life.abort();
    await running;
    rmSync(directory, { recursive: true, force: true });
  });
  const untilLoaded = async () => {
    await import("./container-engine.ts");
    await clock.advance(0);
  };
  return { engine, log, clock, state, socketPath, untilLoaded };
}

test("an engine among the defaults whose socket is not there is not spoken of, and its status has the reason", async () => {
  const { engine, log, clock, socketPath } = openWorld();
  await clock.advance(10_000);
  expect(log.lines).toEqual([]);
  expect(engine.status()).toEqual({
    isReady: false,
    reason: `Docker Engine at ${socketPath}: nothing listens there`,
  });
});

test("one that somebody set and that is not there is warned of once", async () => {
  const { log, clock, socketPath } = openWorld({ isNamed: true });
  await clock.advance(10_000);
  expect(log.lines).toEqual([`[WARN] Docker Engine at ${socketPath}: nothing listens there`]);
});

test("one that does not let this user in is told of once, and warned of once when a session comes to wait for it", async () => {
  const { engine, log, clock, state, socketPath, untilLoaded } = openWorld();
  writeFileSync(socketPath, "");
  await clock.advance(2000);
  await untilLoaded();
  await clock.advance(20_000);
  const text = `Docker Engine at ${socketPath}: this user may not use it`;
  expect(log.lines).toEqual([expect.stringContaining(`[INFO] ${text}`)]);
  expect(engine.status().reason).toContain(text);
  const changes = state.changes;
  state.isAwaited = true;
  await clock.advance(20_000);
  expect(log.lines.slice(1)).toEqual([expect.stringContaining(`[WARN] ${text}`)]);
  expect(state.changes).toBe(changes);
});
