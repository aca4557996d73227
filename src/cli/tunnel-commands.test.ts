import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { formatPoint } from "../contract/describe-spec.ts";
import type { WorkloadStatus } from "../contract/local-status.ts";
import type { TunnelFacts } from "../contract/tunnel-status.ts";
import type { TunnelWorkload } from "../contract/workload.ts";
import { createFleetWorld, type FleetWorld } from "./fleet-world.fake.ts";

const FACTS: TunnelFacts = { address: "192.0.2.1", ports: { from: 20_000, to: 20_099 }, engine: "5.68" };
let world: FleetWorld;

const NOW = "2026-01-15T10:30:45.000Z";

function statusOf({ id, spec }: TunnelWorkload): WorkloadStatus {
  const { uid, role, legs, minTls = "1.3" } = spec;
  const base = { description: "", state: "running", generation: 1, restarts: 0, since: NOW } as const;
  return {
    ...base,
    id,
    kind: "tunnel",
    tunnel: {
      uid,
      role,
      phase: "up",
      since: NOW,
      minTls,
      legs: legs.map(({ listen, connect }) => ({
        listen: formatPoint(listen.address, listen.port),
        connect: formatPoint(connect.host, connect.port),
      })),
      presents: `${uid}.1`,
      accepts: [`${uid}.1`],
      bitsPerSecond: 2.5e6,
      proof: {
        at: NOW,
        tookMs: 80,
        protocol: "TLSv1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
        peer: `${uid}.1`,
        through: "byte",
        attacks: [
          { attack: "plain-text", isRefused: true, how: "connection reset" },
          { attack: "wrong-key", isRefused: false, how: "it was let in" },
        ],
      },
    },
  };
}

const run: FleetWorld["run"] = (...args) => world.run(...args);

beforeEach(async () => {
  world = await createFleetWorld({
    boxes: [{ id: "north-1" }, { id: "studio" }],
    facts: { tunnels: FACTS },
    statusOf: (workload) => (workload.kind === "tunnel" ? statusOf(workload) : undefined),
    columns: 120,
  });
});
afterEach(() => world[Symbol.asyncDispose]());

const UP = ["tunnel", "up", "--producer", "north", "--consumer", "stud", "--source", "10.0.0.20:554"];

test("up shows each phase with how long it took and the way through; ls, show, rotate and down do what they say", async () => {
  world.live("north-1", "studio");
  const up = await run(...UP, "--entry", "5540", "--security", "psk", "--name", "Lobby feed", "--uid", "lobby");
  expect(up).toMatchObject({ exitCode: 0, err: "" });
  expect(up.out).toMatch(
    /^tunnel lobby from north-1 to studio\n {2}requested +0 ms\n {2}prepared +[\d.]+ m?s\n {2}linked +[\d.]+ m?s\n {2}up +[\d.]+ m?s\n {2}127\.0\.0\.1:5540 → 192\.0\.2\.1:20000 → 10\.0\.0\.20:554\n$/,
  );
  expect((await run("tunnel", "ls")).out).toMatch(/lobby +Lobby feed +up .*north-1 +studio +127\.0\.0\.1:5540 +2\.5/);
  expect(JSON.parse((await run("tunnel", "ls", "--box", "studio", "--json")).out).items[0].uid).toBe("lobby");
  const { out: shown } = await run("tunnel", "show", "lobby f");
  expect(shown).toMatch(/cipher +TLSv1\.3 TLS_AES_128_GCM_SHA256/);
  expect(shown).toMatch(/attack +plain-text: refused, connection reset/);
  expect(shown).toMatch(/attack +wrong-key: LET IN, it was let in/);
  expect(await run("tunnel", "rotate", "lobby", "--no-wait")).toMatchObject({
    exitCode: 0,
    out: "tunnel lobby is being given new keys\n",
  });
  expect(await run("tunnel", "rotate", "lobby")).toMatchObject({
    exitCode: 75,
    err: expect.stringContaining("being changed already"),
  });
  expect(await run("completion", "words", "--", "tunnel", "down", "lo")).toMatchObject({ out: "lobby\n" });
  expect(await run("tunnel", "down", "lobby")).toMatchObject({ exitCode: 0, out: "tunnel lobby is down\n" });
  expect((await run("tunnel", "show", "lobby")).exitCode).toBe(66);
});

test("what does not come up in time is told with its reason, stays declared, and ends with the status for a time that ran out", async () => {
  const { exitCode, err } = await run(...UP, "--wait", "1s");
  expect(exitCode).toBe(75);
  expect(err).toMatch(
    /tunnel \w{10} is requested: north-1 has not taken it up yet \(it stays declared, .*sluice tunnel down \w{10} ends it\)/,
  );
  expect((await run("tunnel", "ls")).out).toContain("requested");
  const quick = JSON.parse((await run(...UP, "--no-wait", "--json")).out);
  expect(quick).toMatchObject({
    phase: "requested",
    ways: [{ entry: expect.stringMatching(/^127\.0\.0\.1:200\d\d$/) }],
  });
  expect(await run(...UP.slice(0, -1), "nowhere")).toMatchObject({
    exitCode: 64,
    err: expect.stringContaining("--source"),
  });
  expect(await run("tunnel", "up", "--producer", "none", "--consumer", "studio", "--source", "a:1")).toMatchObject({
    exitCode: 66,
  });
});

test("a fleet's file makes, changes and with --prune ends tunnels, and shows first what differs", async () => {
  const file = join(world.home, "fleet.yaml");
  const apply = async (text: string, ...flags: readonly string[]) => {
    await writeFile(file, text);
    return run("apply", "-f", file, "-y", ...flags);
  };
  const first =
    "tunnels:\n  feed: {producer: north-1, consumer: studio, sources: [{host: 10.0.0.20, port: 554}], entries: [{port: 5540}]}\n";
  expect(await apply(first)).toMatchObject({ exitCode: 0, err: "", out: expect.stringContaining("+ tunnel/feed") });
  expect((await apply(first)).out).toBe("Nothing to change.\n");
  const changed = await apply(first.replace("5540", "5541"));
  expect(changed.out).toContain("~ tunnel/feed\n    entries[0].port: 5540 → 5541");
  expect((await world.hub.ask("GET", "/v1/tunnels/feed")).body.ways[0].entry).toBe("127.0.0.1:5541");
  expect(await apply("tunnels:\n  feed: {producer: north-1}\n")).toMatchObject({
    exitCode: 78,
    err: expect.stringContaining("fleet.yaml:2"),
  });
  expect((await apply("tunnels: {}\n", "--prune")).out).toContain("- tunnel/feed  north-1 → studio");
  expect((await world.hub.ask("GET", "/v1/tunnels/feed")).body.phase).toBe("ending");
});
