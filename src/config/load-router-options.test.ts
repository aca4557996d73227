import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { loadRouterOptions, printRouterOptions, type RouterConfigSources } from "./load-router-options.ts";
import { withRouterOptionsManual } from "./router-options-table.ts";

const PAGE = new URL("../../docs/remote.md", import.meta.url).pathname;
const NEEDED = {
  "router.id": "router-1",
  "server.publicUrl": "https://router-1.example:8444/",
  "hub.url": "https://hub.example:8443",
  "hub.tokenFile": "router.token",
} as const;

function load(given: Partial<RouterConfigSources> = {}, file?: string) {
  return loadRouterOptions({
    flags: NEEDED,
    configFile: file === undefined ? undefined : "/r.yaml",
    strayArguments: [],
    env: {},
    facts: { hostname: "h", isRoot: false, homeDirectory: "/home/x", cwd: "/srv" },
    readTextFile: () =>
      file === undefined ? Promise.reject(Object.assign(new Error("none"), { code: "ENOENT" })) : Promise.resolve(file),
    ...given,
  });
}

describe("the options of a router", () => {
  test("have defaults for all that is not needed", async () => {
    expect((await load()).options).toEqual({
      id: "router-1",
      server: { host: "0.0.0.0", port: 8444, publicUrl: "https://router-1.example:8444", drainMs: 30_000 },
      tls: undefined,
      hub: { url: "https://hub.example:8443", tokenFile: "/srv/router.token", caFile: undefined },
      limits: { sessions: 512, sessionsPerOperator: 16, windowBytes: 512 * 1024 ** 2 },
      metrics: undefined,
      log: { level: "info" },
    });
  });

  test("come from flags over the environment over the file, and are printed with where they came from", async () => {
    const env = { SLUICE_ROUTER_LIMITS_SESSIONS: "20", SLUICE_ROUTER_LIMITS_SESSIONS_PER_OPERATOR: "5" };
    const file = "limits:\n  sessions: 10\n  sessionsPerOperator: 4\n  windowBytes: 64Mi\n";
    const loaded = await load({ env, flags: { ...NEEDED, "limits.sessions": "30" } }, file);
    expect(loaded.options.limits).toEqual({ sessions: 30, sessionsPerOperator: 5, windowBytes: 64 * 1024 ** 2 });
    const text = printRouterOptions(loaded);
    expect(text).toContain("sessions: 30  # --limits-sessions");
    expect(text).toContain("sessionsPerOperator: 5  # SLUICE_ROUTER_LIMITS_SESSIONS_PER_OPERATOR (environment)");
    expect(text).toContain("windowBytes: 67108864  # /r.yaml:4");
    expect(text).toContain("# certFile:  # not set");
  });

  test("are all judged at once", async () => {
    const flags = { ...NEEDED, "router.id": "Bad_Id", "tls.certFile": "cert.pem" };
    const error = await load({ flags, strayArguments: ["--hub-ulr", "x"] }, "limits:\n  session: 1\n").catch(String);
    for (const part of ["Bad_Id", "tls.keyFile", "--hub-url", "limits.sessions"]) expect(error).toContain(part);
    await expect(load({ flags: {} })).rejects.toThrow("router.id");
  });

  // Rewrite the page after a change of the table: npx vitest run src/config/load-router-options.test.ts -u
  test("are all in the manual", async () => {
    await expect(withRouterOptionsManual(await readFile(PAGE, "utf8"))).toMatchFileSnapshot(PAGE);
  });
});
