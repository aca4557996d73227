import { describe, expect, test } from "vitest";
import { type HubConfigSources, loadHubOptions } from "./load-hub-options.ts";
import { printHubOptions } from "./print-hub-options.ts";
import { parseStoreAddress } from "./store-address.ts";

const facts = { hostname: "hub", isRoot: true, homeDirectory: "/root", cwd: "/srv/hub" };

function load(given: Partial<HubConfigSources> & { readonly file?: string } = {}) {
  const { file, ...sources } = given;
  const readTextFile = async () => {
    if (file !== undefined) return file;
    throw Object.assign(new TypeError("no such file"), { code: "ENOENT" });
  };
  return loadHubOptions({
    flags: {},
    configFile: undefined,
    strayArguments: [],
    env: {},
    facts,
    readTextFile,
    ...sources,
  });
}

describe("the hub's configuration", () => {
  test("needs nothing: SQLite and a certificate of its own in the data directory", async () => {
    const { options, warnings } = await load();
    expect(options.store).toEqual({ kind: "sqlite", path: "/var/lib/sluice/hub/hub.db" });
    expect(options.server).toMatchObject({ host: "0.0.0.0", port: 8443, publicUrl: undefined });
    expect(options.tls.mode).toBe("generated");
    expect(warnings).toEqual([]);
  });

  test("takes flags over the environment over the file, and says where each value came from", async () => {
    const loaded = await load({
      flags: { "server.listen": "[::1]:9000" },
      env: { SLUICE_HUB_SERVER_LISTEN: "127.0.0.1:1", SLUICE_HUB_DATA_DIRS: "x", SLUICE_HUB_DATA_DIR: "data" },
      file: "server:\n  listen: 1.1.1.1:2\n  drainSeconds: 9\nlog: {level: debug}\n",
    });
    expect(loaded.options.server).toMatchObject({ host: "::1", port: 9000, drainMs: 9000 });
    expect(loaded.options.files.dataDir).toBe("/srv/hub/data");
    expect(loaded.options.store).toEqual({ kind: "sqlite", path: "/srv/hub/data/hub.db" });
    expect(loaded.warnings).toEqual([
      "SLUICE_HUB_DATA_DIRS is set and names no option; did you mean SLUICE_HUB_DATA_DIR?",
    ]);
    const printed = printHubOptions(loaded);
    expect(printed).toContain('listen: "[::1]:9000"  # --server-listen');
    expect(printed).toContain("drainSeconds: 9  # /etc/sluice/hub.yaml:3");
    expect(printed).toContain("  # publicUrl:  # not set");
  });

  test("names every problem at once, with where it was read", async () => {
    const failed = load({
      env: { SLUICE_HUB_STORE_URL: "mysql://x", SLUICE_HUB_TLS_CERT_FILE: "/c.pem" },
      file: "server:\n  port: 1\n  listen: 5\nlimits: {boxPerSeconds: 1}\n",
      strayArguments: ["--listen", "x"],
    });
    await expect(failed).rejects.toMatchObject({ code: "config" });
    await expect(failed).rejects.toThrow(/has 6 problems/);
    await expect(failed).rejects.toThrow("/etc/sluice/hub.yaml:2: server.port is not a key");
    await expect(failed).rejects.toThrow(
      "/etc/sluice/hub.yaml:4: limits.boxPerSeconds is not a key; did you mean limits.boxPerSecond?",
    );
    await expect(failed).rejects.toThrow("SLUICE_HUB_STORE_URL (environment): store.url was given");
    await expect(failed).rejects.toThrow("tls.certFile was given without tls.mode files");
  });

  test("warns of tokens that travel readable, and shows no password of Redis", async () => {
    const loaded = await load({ flags: { "tls.mode": "off", "store.url": "redis://ada:hunter2@redis:1/3" } });
    expect(loaded.warnings[0]).toContain("tokens travel readable for all on the way");
    expect(printHubOptions(loaded)).not.toContain("hunter2");
    expect(loaded.options.store).toMatchObject({
      username: "ada",
      password: "hunter2",
      port: 1,
      database: 3,
      tls: false,
    });
  });
});

test.each([
  ["memory:", { kind: "memory" }],
  ["sqlite:/var/lib/hub.db", { kind: "sqlite", path: "/var/lib/hub.db" }],
  ["sqlite:///var/lib/hub.db", { kind: "sqlite", path: "/var/lib/hub.db" }],
  ["redis://r", { kind: "redis", host: "r", port: 6379, database: 0, tls: false }],
  ["rediss://:p%40ss@[::1]:7/2", { host: "::1", port: 7, password: "p@ss", database: 2, tls: true }],
  [
    "redis+sentinel://a,b:1/main",
    {
      sentinel: {
        masterName: "main",
        nodes: [
          { host: "a", port: 26379 },
          { host: "b", port: 1 },
        ],
      },
    },
  ],
])("%s is a store", (text, expected) => {
  expect(parseStoreAddress(text)).toMatchObject(expected);
});

test.each([
  "",
  "sqlite:hub.db",
  "sqlite:",
  "redis://",
  "redis://a,b",
  "redis://a/x",
  "redis://a:99999",
  "redis+sentinel://a",
  "http://a",
])("%j is no store", (text) => {
  expect(parseStoreAddress(text)).toBe(undefined);
});
