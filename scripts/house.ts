/** The house rules as data; `check-house.ts` enforces them. Reasons: ARCHITECTURE.md. */

export interface FolderRule {
  readonly folder: string;
  /** Folders of ours that it may import. Its own folder is always allowed. */
  readonly mayImport: readonly string[];
  /** Folders of ours from which it may import types only. */
  readonly mayImportTypesOf?: readonly string[];
  /** Node's modules that it must not touch. */
  readonly neverNode?: readonly string[];
}

/** Both ends of a transfer stand on these, and not on each other. */
const WORKER_FLOORS = [
  "src/base",
  "src/contract",
  "src/worker/storage",
  "src/worker/wire",
  "src/worker/fault.ts",
] as const;

/** First match wins. */
export const FOLDERS: readonly FolderRule[] = [
  { folder: "src/base", mayImport: [] },
  {
    folder: "src/contract",
    mayImport: ["src/base"],
    neverNode: ["fs", "fs/promises", "net", "http", "https", "child_process", "timers", "timers/promises"],
  },
  { folder: "src/config", mayImport: ["src/base", "src/contract"] },
  { folder: "src/client", mayImport: ["src/base", "src/contract"] },
  {
    folder: "src/translate",
    mayImport: ["src/base", "src/contract"],
    neverNode: ["fs", "fs/promises", "net", "http", "https", "child_process", "timers", "timers/promises"],
  },
  {
    folder: "src/agent",
    mayImport: ["src/base", "src/contract", "src/client", "src/translate"],
    mayImportTypesOf: ["src/config"],
  },
  {
    folder: "src/hub",
    mayImport: ["src/base", "src/contract", "src/client", "src/remote"],
    // Its wiring mounts a router.
    mayImportTypesOf: ["src/config", "src/router"],
  },
  { folder: "src/remote", mayImport: ["src/base", "src/contract"] },
  { folder: "src/router", mayImport: ["src/base", "src/contract", "src/client"], mayImportTypesOf: ["src/config"] },
  { folder: "src/holder", mayImport: ["src/base", "src/contract", "src/remote"] },
  { folder: "src/worker/storage", mayImport: ["src/base", "src/contract", "src/worker/fault.ts"] },
  { folder: "src/worker/wire", mayImport: ["src/base", "src/contract", "src/remote", "src/worker/fault.ts"] },
  { folder: "src/worker/send", mayImport: [...WORKER_FLOORS] },
  { folder: "src/worker/receive", mayImport: [...WORKER_FLOORS] },
  { folder: "src/worker", mayImport: ["src/base", "src/contract", "src/remote"] },
  {
    folder: "src/cli",
    mayImport: ["src/base", "src/contract", "src/client", "src/config", "src/translate", "src/remote"],
  },
  { folder: "src/main.ts", mayImport: ["src"] },
  { folder: "src/start-hub.ts", mayImport: ["src"] },
  { folder: "src/clean-up.ts", mayImport: ["src"] },
  { folder: "src/keep-link.ts", mayImport: ["src"] },
  { folder: "test-server", mayImport: ["src"] },
  { folder: "scripts", mayImport: ["src", "test-server"] },
  { folder: "public", mayImport: [] },
];

/** A third-party package lives in one place, so that it can be replaced in one place. */
export const PACKAGE_HOMES: Readonly<Record<string, readonly string[]>> = {
  eventsource: ["src/agent/link", "scripts/bench"],
  execa: ["src/base"],
  "ps-list": ["src/base"],
  pidusage: ["src/base"],
  "prom-client": ["src/agent/telemetry", "src/hub/metrics"],
  "proper-lockfile": ["src/base"],
  winston: ["src/base"],
  "winston-transport": ["src/base"],
  "p-retry": ["src/agent/link", "src/agent/report"],
  zod: [
    "src/contract",
    "src/config",
    "src/agent/registry",
    "src/agent/runtime/engine-api",
    "src/agent/runtime/cluster-api",
    "src/hub",
    "src/worker",
  ],
  yaml: ["src/config", "src/agent/runtime/cluster-api"],
  "@bufbuild/protobuf": ["src/contract", "src/remote", "src/router"],
  "@lydell/node-pty": ["src/holder"],
  ws: ["src/hub/remote"],
  fastify: ["src/hub/http"],
  "@fastify/static": ["src/hub/http"],
  "@fastify/swagger": ["src/hub/http"],
  "@fastify/swagger-ui": ["src/hub/http"],
  commander: ["src/cli"],
  "cli-table3": ["src/cli"],
  ioredis: ["src/hub/store/redis"],
};

/** Globals and modules that arrive by argument; only these files may reach for the real ones. */
export const RESERVED: readonly {
  readonly pattern: RegExp;
  readonly name: string;
  readonly allowed: readonly string[];
}[] = [
  { pattern: /\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(/, name: "the clock", allowed: ["src/base/clock.ts"] },
  { pattern: /\b(?:setTimeout|setInterval)\(/, name: "raw timers", allowed: ["src/base/clock.ts"] },
  { pattern: /\bMath\.random\(/, name: "Math.random", allowed: ["src/base/random.ts"] },
  { pattern: /\bprocess\.(?:env|argv|exit|exitCode)\b/, name: "process.env, argv and exit", allowed: ["src/main.ts"] },
  {
    pattern: /["']node:child_process["']/,
    name: "node:child_process",
    allowed: ["src/base/spawn-piped.ts", "src/base/start-apart.ts"],
  },
  { pattern: /\bshell:\s*true/, name: "a shell", allowed: [] },
  { pattern: /\bthrow new Error\(/, name: "throw new Error (use AppError)", allowed: [] },
];

/** Made from `proto/` by `buf generate`; never edited. */
export const GENERATED = "src/contract/proto";
export const MAX_LINES = { source: 400, test: 800 } as const;
export const FORBIDDEN_NAMES = /(?:^|\/)(?:utils?|helpers?|common|types|misc|lib|index)(?:\.ts)?(?:\/|$)/;
