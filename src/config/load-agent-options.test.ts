import { expect, test } from "vitest";
import { AppError } from "../base/errors.ts";
import { formatEnrolmentString } from "../contract/fleet/enrolment-string.ts";
import type { AgentOptions } from "./agent-options.ts";
import { AGENT_OPTION_KEYS, AGENT_OPTIONS, environmentNameOf, flagOf } from "./agent-options-table.ts";
import { type ConfigSources, type LoadedOptions, loadAgentOptions } from "./load-agent-options.ts";

function sources(given: Partial<ConfigSources> & { readonly files?: Record<string, string> } = {}): ConfigSources {
  const { files = {}, ...rest } = given;
  return {
    flags: {},
    configFile: undefined,
    strayArguments: [],
    env: {},
    facts: { hostname: "gate 1.local", isRoot: true, homeDirectory: "/home/ann", cwd: "/cwd" },
    readTextFile: async (path) => {
      const text = files[path];
      if (text === undefined) throw Object.assign(new AppError("not-found", `no ${path}`), { code: "ENOENT" });
      return text;
    },
    ...rest,
  };
}

const load = (given: Parameters<typeof sources>[0]): Promise<LoadedOptions> => loadAgentOptions(sources(given));

async function problemsOf(given: Parameters<typeof sources>[0]): Promise<string> {
  const error = await load(given).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof AppError)) throw new AppError("internal", "expected a configuration error");
  expect(error.code).toBe("config");
  return error.message;
}

const AGENT_YAML = "/etc/sluice/agent.yaml";

test("defaults need nothing and are all filled in", async () => {
  const { options, origins } = await load({});
  expect(options.box.id).toBe("gate-1.local");
  expect(options.link).toEqual({
    endpoint: undefined,
    tokenFile: undefined,
    token: undefined,
    caFile: undefined,
    enrolmentToken: undefined,
    enrolmentTokenFile: undefined,
    keyRotationMs: 7_776_000_000,
    retryDelayMs: 5000,
    maxRetries: 10,
    connectTimeoutMs: 10_000,
    replayWindowMs: 0,
  });
  expect(options.files).toEqual({
    stateDir: "/var/lib/sluice",
    registry: "/var/lib/sluice/registry.json",
    persistentState: "/var/lib/sluice/persistent_state.json",
    log: "/var/lib/sluice/logs/stream_system.log",
  });
  expect(options.boot).toEqual({ onReboot: "clear", detectionThresholdMs: 300_000 });
  expect(options.reconcile).toEqual({ shrinkHoldMs: 60_000, intervalMs: 30_000 });
  expect(Object.keys(origins).sort()).toEqual([...AGENT_OPTION_KEYS].sort());
});

test.each<[string, string, (options: AgentOptions) => unknown, unknown]>([
  ["SSE_ENDPOINT", "http://hub/events", (options) => options.link.endpoint, "http://hub/events"],
  ["SSE_RETRY_DELAY", "7", (options) => options.link.retryDelayMs, 7000],
  ["SSE_MAX_RETRIES", "3", (options) => options.link.maxRetries, 3],
  ["CONNECTION_TIMEOUT", "2.5", (options) => options.link.connectTimeoutMs, 2500],
  ["HEALTH_CHECK_INTERVAL", "60", (options) => options.reconcile.intervalMs, 60_000],
  ["BOOT_DETECTION_THRESHOLD", "120", (options) => options.boot.detectionThresholdMs, 120_000],
  ["STREAM_REGISTRY", "/tmp/r.json", (options) => options.files.registry, "/tmp/r.json"],
  ["PERSISTENT_STATE", "/tmp/p.json", (options) => options.files.persistentState, "/tmp/p.json"],
  ["LOG_FILE", "/tmp/a.log", (options) => options.files.log, "/tmp/a.log"],
  ["LOG_LEVEL", "WARN", (options) => options.log.level, "warn"],
  ["DEBUG", "1", (options) => options.log.level, "debug"],
  ["DEBUG", "express:*", (options) => options.log.level, "info"],
  ["LOG_FILE", "", (options) => options.files.log, "/var/lib/sluice/logs/stream_system.log"],
])("the old name %s=%s does what it says", async (name, text, read, expected) => {
  expect(read((await load({ env: { [name]: text } })).options)).toEqual(expected);
});

test("a flag beats SLUICE_*, which beats the old name, which beats the file", async () => {
  const files = { [AGENT_YAML]: "link: {maxRetries: 1}" };
  const env = { SSE_MAX_RETRIES: "2", SLUICE_LINK_MAX_RETRIES: "3" };
  const read = async (given: Parameters<typeof sources>[0]) => {
    const { options, origins } = await load({ files, ...given });
    return [options.link.maxRetries, origins["link.maxRetries"]];
  };
  expect(await read({})).toEqual([1, `${AGENT_YAML}:1`]);
  expect(await read({ env: { SSE_MAX_RETRIES: "2" } })).toEqual([2, "SSE_MAX_RETRIES (environment)"]);
  expect(await read({ env })).toEqual([3, "SLUICE_LINK_MAX_RETRIES (environment)"]);
  expect(await read({ env, flags: { "link.maxRetries": "4" } })).toEqual([4, "--link-max-retries"]);
});

test("DEBUG=1 beats LOG_LEVEL and yields to SLUICE_LOG_LEVEL", async () => {
  const env = { DEBUG: "1", LOG_LEVEL: "error" };
  expect((await load({ env })).options.log.level).toBe("debug");
  expect((await load({ env: { ...env, SLUICE_LOG_LEVEL: "warn" } })).options.log.level).toBe("warn");
});

test("every option has its own flag and environment name, and takes its own default back as text", async () => {
  expect(new Set(AGENT_OPTION_KEYS.map(flagOf)).size).toBe(AGENT_OPTION_KEYS.length);
  expect(new Set(AGENT_OPTION_KEYS.map(environmentNameOf)).size).toBe(AGENT_OPTION_KEYS.length);
  const { values } = await load({ env: { SLUICE_LINK_ENDPOINT: "https://hub/v1/boxes/a/events" } });
  for (const key of AGENT_OPTION_KEYS) {
    const value = values[key];
    if (value === undefined || typeof value === "object") continue;
    const again = await load({ flags: { [key]: String(value) } });
    expect(again.values[key], key).toEqual(value);
  }
});

test("a file of every kind of value is read", async () => {
  const { options } = await load({
    configFile: "agent.yaml",
    files: {
      "/cwd/agent.yaml": `
box: {id: north-1, name: North gate, labels: {site: north}}
link:
  endpoint: "https://hub.example/v1/boxes/north-1/events"
  tokenFile: /etc/sluice/token
  replayWindowSeconds: 1.5
policy:
  inputs: [rtsp, test]
  rawArguments: true
report:
`,
    },
  });
  expect(options.box).toEqual({ id: "north-1", isIdGiven: true, name: "North gate", labels: { site: "north" } });
  expect(options.link.replayWindowMs).toBe(1500);
  expect(options.report.endpoint).toBe("https://hub.example/v1/boxes/north-1/report");
  expect(options.policy.inputs).toEqual(["rtsp", "test"]);
  expect(options.policy.rawArguments).toBe(true);
});

test("lists and labels are written with commas in the environment", async () => {
  const { options } = await load({
    env: { SLUICE_POLICY_INPUTS: "rtsp, test", SLUICE_BOX_LABELS: "site=north,role=gate=1" },
  });
  expect(options.policy.inputs).toEqual(["rtsp", "test"]);
  expect(options.box.labels).toEqual({ site: "north", role: "gate=1" });
});

test("all problems of all sources come in one message, each with its place and what is allowed", async () => {
  const message = await problemsOf({
    files: {
      [AGENT_YAML]: [
        "box: {id: ../etc}",
        "link:",
        "  endpont: http://hub/events",
        "  token: s3cret-in-file",
        "  maxRetries: many",
        "storages: [{path: /srv}]",
        "policy: {remote: {exec: true}, inputs: rtsp}",
        "reconcile: {intervalMs: 5}",
        "shutdown: keep",
      ].join("\n"),
    },
    env: { SSE_RETRY_DELAY: "soon", SSE_ENDPOINT: "ftp://ann:hunter22@hub/x?key=hunter23" },
    flags: { "shutdown.streams": "maybe" },
    strayArguments: ["--stat-dir", "--token=abc"],
  });
  const lines = message.split("\n");
  expect(lines[0]).toBe("the configuration has 14 problems; nothing was started:");
  expect(lines).toHaveLength(15);
  for (const expected of [
    `${AGENT_YAML}:1: box.id was given "../etc"; allowed: 1 to 63 letters`,
    `${AGENT_YAML}:3: link.endpont is not a key; did you mean link.endpoint?`,
    `${AGENT_YAML}:4: link.token is not a key: a token is only read from a file`,
    `${AGENT_YAML}:5: link.maxRetries was given "many"; allowed: a whole number from 1 to 1000000`,
    `${AGENT_YAML}:6: storages is not supported by this version`,
    `${AGENT_YAML}:7: policy.remote.exec is not a key`,
    `${AGENT_YAML}:7: policy.inputs was given "rtsp"; allowed: a list of URL schemes`,
    `${AGENT_YAML}:8: reconcile.intervalMs is not a key; did you mean reconcile.intervalSeconds?`,
    `${AGENT_YAML}:9: shutdown must be a group of keys`,
    `SSE_RETRY_DELAY (environment): link.retryDelaySeconds was given "soon"; allowed: a number of seconds`,
    `SSE_ENDPOINT (environment): link.endpoint was given "ftp://***@hub/x?key=***"; allowed: an http:// or https://`,
    `--shutdown-streams: shutdown.streams was given "maybe"; allowed: keep or stop`,
    `command line: --stat-dir is not a flag; did you mean --state-dir?`,
    "command line: --token is not a flag: others could read the token",
  ]) {
    expect(message).toContain(expected);
  }
  expect(message).not.toMatch(/hunter2|s3cret/);
});

test("a value that something stronger overrides is checked all the same", async () => {
  const message = await problemsOf({ env: { SSE_MAX_RETRIES: "0" }, flags: { "link.maxRetries": "4" } });
  expect(message).toContain("SSE_MAX_RETRIES (environment)");
});

test.each([
  ["a: [1", `${AGENT_YAML}:1: is not valid YAML`],
  ["link: {maxRetries: 1}\nlink: {maxRetries: 2}", `${AGENT_YAML}:2: is not valid YAML`],
  ["just text", `${AGENT_YAML}:1: must hold groups of keys`],
  ["box: {id: 7}", "put it in quotes"],
  ["link: {endpoint: }", "was given nothing"],
])("the file %j gets a clear message", async (text, expected) => {
  expect(await problemsOf({ files: { [AGENT_YAML]: text } })).toContain(expected);
});

test("a named file that cannot be read is a problem; the usual one may be absent", async () => {
  expect(await problemsOf({ configFile: "/nowhere.yaml" })).toContain("--config: cannot be read: no /nowhere.yaml");
  expect(await problemsOf({ env: { SLUICE_CONFIG: "/nowhere.yaml" } })).toContain("SLUICE_CONFIG (environment)");
});

test("the token comes from a file, the environment or systemd, and never from two", async () => {
  const files = { "/run/creds/token": "abc\n", [AGENT_YAML]: "link: {tokenFile: /etc/token}" };
  const read = async (given: Parameters<typeof sources>[0]) => {
    const { options } = await load(given);
    return [options.link.tokenFile, options.link.token];
  };
  expect(await read({ files: { "/run/creds/token": "abc" }, env: { CREDENTIALS_DIRECTORY: "/run/creds" } })).toEqual([
    "/run/creds/token",
    undefined,
  ]);
  expect(await read({ env: { CREDENTIALS_DIRECTORY: "/run/creds" } })).toEqual([undefined, undefined]);
  expect(await read({ files, env: { SLUICE_TOKEN: "xyzxyz\n" } })).toEqual([undefined, "xyzxyz"]);
  expect(await read({ flags: { "link.tokenFile": "t" }, env: { SLUICE_TOKEN: "xyzxyz" } })).toEqual([
    "/cwd/t",
    undefined,
  ]);
  expect(await problemsOf({ env: { SLUICE_TOKEN: "two words" } })).toMatch(/SLUICE_TOKEN.*printable/);
});

test("the state directory follows systemd, then root, then XDG", async () => {
  const user = { hostname: "h", isRoot: false, homeDirectory: "/home/ann", cwd: "/" };
  const stateDir = async (given: Parameters<typeof sources>[0]) => (await load(given)).options.files.stateDir;
  expect(await stateDir({ env: { STATE_DIRECTORY: "/var/lib/a:/var/lib/b" } })).toBe("/var/lib/a");
  expect(await stateDir({ facts: user })).toBe("/home/ann/.local/state/sluice");
  expect(await stateDir({ facts: user, env: { XDG_STATE_HOME: "/x" } })).toBe("/x/sluice");
  expect(await stateDir({ env: { SLUICE_STATE_DIR: "rel", STATE_DIRECTORY: "/a" } })).toBe("/cwd/rel");
  expect(await stateDir({ env: { SLUICE_STATE_DIR: "/a" }, flags: { "files.stateDir": "/b" } })).toBe("/b");
});

test("a name that looks like ours and means nothing is a warning", async () => {
  const { warnings } = await load({ env: { SLUICE_LINK_ENDPONT: "http://x", SLUICE_WORKLOAD: "b/i/1/n" } });
  expect(warnings).toEqual(["SLUICE_LINK_ENDPONT is set and names no option; did you mean SLUICE_LINK_ENDPOINT?"]);
});

test("every key has help that ends as a sentence", () => {
  for (const key of AGENT_OPTION_KEYS) expect(AGENT_OPTIONS[key].help, key).toMatch(/\.$|off\.$/);
});

test("an enrolment token is checked, and no message repeats it", async () => {
  const token = formatEnrolmentString({ hub: "https://hub.test", token: "a-secret-of-sixteen" });
  expect((await load({ env: { SLUICE_LINK_ENROLMENT_TOKEN: token } })).options.link.enrolmentToken).toBe(token);
  await expect(load({ env: { SLUICE_LINK_ENROLMENT_TOKEN: token.slice(0, -9) } })).rejects.toThrow(
    'link.enrolmentToken was given "sluice1.***"; allowed: an enrolment token as the hub printed it',
  );
});

test("a cluster is used only where it is named, and its settings are names that it takes", async () => {
  const { options } = await load({});
  expect(options.sessions.platforms).toEqual(["docker", "podman", "process"]);
  expect(options.sessions.kubernetes).toMatchObject({
    kubeconfig: undefined,
    namespace: "default",
    serviceType: "ClusterIP",
  });
  const named = { "sessions.platforms": "kubernetes", "kubernetes.service": "node-port" };
  expect((await load({ flags: named })).options.sessions).toMatchObject({
    platforms: ["kubernetes"],
    kubernetes: { serviceType: "NodePort" },
  });
  expect(await problemsOf({ flags: { "sessions.platforms": "docker,nomad" } })).toMatch(/sessions\.platforms.*nomad/);
  const host = { "kubernetes.ingressHost": "apps.example", "kubernetes.namespace": "Apps" };
  const problems = await problemsOf({ flags: host });
  expect(problems).toMatch(/ingressHost was given "apps\.example"; allowed: a name with \{\{session\}\}/);
  expect(problems).toMatch(/namespace was given "Apps"; allowed: 1 to 63 small letters/);
});

test.each([
  { what: "nothing", flags: {}, named: [] },
  { what: "one socket", flags: { "sessions.podmanSocket": "/tmp/p.sock" }, named: ["podman"] },
  { what: "the platforms", flags: { "sessions.platforms": "process,docker" }, named: ["process", "docker"] },
  {
    what: "a socket of a platform that is not used",
    flags: { "sessions.platforms": "process", "sessions.dockerSocket": "/tmp/d.sock" },
    named: ["process"],
  },
])("of the platforms those count as named that somebody set: given $what", async ({ flags, named }) => {
  const { options } = await load({ flags });
  expect(options.sessions.namedPlatforms).toEqual(named);
});
