import type { z } from "zod";
import type { Clock } from "../../../base/clock.ts";
import { AppError } from "../../../base/errors.ts";
import type { HttpFetch } from "../../../base/http-fetch.ts";
import type { EngineEntry } from "../engine-output.ts";
import {
  type ContainerDetails,
  containersSchema,
  createdSchema,
  createdVolumeSchema,
  type EngineNetwork,
  type EngineVolume,
  eventSchema,
  infoSchema,
  inspectSchema,
  networksSchema,
  pullLineSchema,
  statsSchema,
  volumesSchema,
} from "./engine-answers.ts";
import { codeOfText, type EngineAddress } from "./engine-problem.ts";
import { createEngineRequest, type EngineCall } from "./engine-request.ts";
import { readJsonLines } from "./json-lines.ts";
import { readLogFrames } from "./log-frames.ts";
import { createPullSum, type PullProgress } from "./pull-progress.ts";

export type Labels = Readonly<Record<string, string>>;

export interface EngineVersion {
  /** `20.10.24`. */
  readonly version: string;
  /** Which driver keeps output where a container asks for none; "" where it is not told. */
  readonly logDriver: string;
}

export interface EngineEvent {
  /** `start`, `die`, `oom`, `pause`, `unpause`, `destroy`, … */
  readonly action: string;
  readonly containerId: string;
}

export interface ContainerUsage {
  /** All cores together, since its start. */
  readonly cpuMs: number;
  readonly memoryBytes: number;
}

export interface PullWish {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: PullProgress) => void;
}

/**
 * What Sluice asks of the Docker Engine API (v1.41, which Podman speaks too). Each call has a limit of its own. All reject with an
 * `AppError`: `unavailable`, `timeout` or `refused` when the engine could not be asked, `not-found`, `conflict`, `invalid`,
 * `storage`, `exhausted` or `unsupported` when it said so.
 */
export interface EngineClient {
  readonly address: EngineAddress;
  ping(limitMs: number, signal?: AbortSignal): Promise<void>;
  /** From the head of its answer to a ping: for `/version` Podman starts programs, which takes many seconds on a busy box. */
  version(limitMs: number, signal?: AbortSignal): Promise<EngineVersion>;
  hasImage(reference: string): Promise<boolean>;
  /** Rejects with `storage` where the box has no room for it, else with `not-found` where the engine could not fetch it; the message says why. */
  pull(reference: string, wish: PullWish): Promise<void>;
  /** Of all containers with these labels, ended ones too: their ids. */
  containers(labels: Labels, limitMs?: number): Promise<readonly string[]>;
  /** By id or name; undefined where there is none. */
  inspect(idOrName: string, limitMs?: number): Promise<ContainerDetails | undefined>;
  create(name: string, body: unknown): Promise<string>;
  start(id: string): Promise<void>;
  kill(id: string, signal: NodeJS.Signals): Promise<void>;
  pause(id: string): Promise<void>;
  unpause(id: string): Promise<void>;
  update(id: string, limits: unknown): Promise<void>;
  /** Podman's own call, of a running container and until its end: it has no other. `resources`: as the OCI runtime takes them. */
  updateRunning(id: string, resources: unknown): Promise<void>;
  /** With force: whatever its state. Its volumes stay. No error where there is none. */
  remove(id: string): Promise<void>;
  networks(labels: Labels): Promise<readonly EngineNetwork[]>;
  createNetwork(body: unknown): Promise<string>;
  /** Puts a container that stands still into a network, in place of one of the same name that is gone. */
  reconnect(network: { readonly name: string; readonly containerId: string }): Promise<void>;
  removeNetwork(id: string): Promise<void>;
  volumes(labels: Labels): Promise<readonly EngineVolume[]>;
  /** The one of this name where there is one already. */
  createVolume(body: unknown): Promise<EngineVolume>;
  removeVolume(name: string): Promise<void>;
  /** Of containers with these labels, until the signal; ends or rejects when the connection does. */
  events(labels: Labels, signal: AbortSignal): Promise<AsyncIterable<EngineEvent>>;
  usage(id: string): Promise<ContainerUsage>;
  /**
   * What a container wrote from `sinceNs` on, as its log driver kept it: mostly one line with its end, of a long line a part. Goes
   * on until it has ended, or the signal.
   */
  output(id: string, sinceNs: bigint, signal: AbortSignal): Promise<AsyncIterable<EngineEntry>>;
}

const NANOSECONDS = 1_000_000_000n;
/** Creating and removing touch the disk, and wait for whatever else uses it. */
const DISK_LIMIT_MS = 60_000;
/** A pull may take hours, as long as something comes. */
const SILENT_PULL_MS = 120_000;

export function createEngineClient(
  address: EngineAddress,
  deps: { readonly fetch: HttpFetch; readonly clock: Clock },
): EngineClient {
  const request = createEngineRequest(address, deps);
  const ask = async <T>(schema: z.ZodType<T>, call: EngineCall): Promise<T> => {
    const { text } = await request.ask(call);
    return read(schema, text, address);
  };
  const act = async (call: EngineCall): Promise<void> => {
    await request.ask(call);
  };
  const onContainer = (id: string, verb: string) => `/containers/${encodeURIComponent(id)}/${verb}`;

  return {
    address,
    ping: (limitMs, signal) => act({ method: "GET", path: "/_ping", limitMs, signal }),
    version: async (limitMs, signal) => {
      const { server } = await request.ask({ method: "GET", path: "/_ping", limitMs, signal });
      const [, name, version = "unknown"] = /^(\w+)\/(\S+)/.exec(server) ?? [];
      if (name === "Libpod") return { version, logDriver: "" };
      const { LoggingDriver = "" } = await ask(infoSchema, { method: "GET", path: "/info", signal });
      return { version, logDriver: LoggingDriver };
    },
    hasImage: async (reference) => {
      const path = `/images/${encodeURIComponent(reference)}/json`;
      return (await request.ask({ method: "GET", path, accepts: [404] })).status !== 404;
    },
    pull: (reference, wish) => pull(reference, wish),
    containers: async (labels, limitMs) => {
      const query = { all: "true", filters: labelFilter(labels) };
      const found = await ask(containersSchema, {
        method: "GET",
        path: "/containers/json",
        query,
        ...(limitMs === undefined ? {} : { limitMs }),
      });
      return found.filter(({ Labels }) => hasAll(Labels, labels)).map(({ Id }) => Id);
    },
    inspect: async (id, limitMs) => {
      const call = {
        method: "GET",
        path: onContainer(id, "json"),
        ...(limitMs === undefined ? {} : { limitMs }),
      } as const;
      return await ask(inspectSchema, call).catch(unlessNotFound);
    },
    create: async (name, body) => {
      const call = {
        method: "POST",
        path: "/containers/create",
        query: { name },
        body,
        limitMs: DISK_LIMIT_MS,
      } as const;
      return (await ask(createdSchema, call)).Id;
    },
    start: (id) => act({ method: "POST", path: onContainer(id, "start"), limitMs: DISK_LIMIT_MS, accepts: [304] }),
    kill: (id, signal) => act({ method: "POST", path: onContainer(id, "kill"), query: { signal } }),
    pause: (id) => act({ method: "POST", path: onContainer(id, "pause") }),
    unpause: (id) => act({ method: "POST", path: onContainer(id, "unpause") }),
    update: (id, limits) => act({ method: "POST", path: onContainer(id, "update"), body: limits }),
    updateRunning: (id, resources) =>
      act({ method: "POST", path: `/libpod${onContainer(id, "update")}`, version: "v4.0.0", body: resources }),
    remove: async (id) => {
      // Podman's own force first waits for it to end well. What does not run cannot be killed, which Podman answers with 500.
      await act({
        method: "POST",
        path: onContainer(id, "kill"),
        query: { signal: "SIGKILL" },
        accepts: [404, 409, 500],
      });
      // 409: somebody else is at removing it.
      const path = `/containers/${encodeURIComponent(id)}`;
      await act({ method: "DELETE", path, query: { force: "true" }, limitMs: DISK_LIMIT_MS, accepts: [404, 409] });
    },
    networks: async (labels) => {
      const call = { method: "GET", path: "/networks", query: { filters: labelFilter(labels) } } as const;
      return (await ask(networksSchema, call)).filter(({ Labels }) => hasAll(Labels, labels));
    },
    createNetwork: async (body) => (await ask(createdSchema, { method: "POST", path: "/networks/create", body })).Id,
    reconnect: async ({ name, containerId }) => {
      const path = `/networks/${encodeURIComponent(name)}`;
      const body = { Container: containerId };
      await act({ method: "POST", path: `${path}/disconnect`, body: { ...body, Force: true }, accepts: [404, 500] });
      await act({ method: "POST", path: `${path}/connect`, body });
    },
    removeNetwork: (id) => act({ method: "DELETE", path: `/networks/${encodeURIComponent(id)}`, accepts: [404] }),
    volumes: async (labels) => {
      const call = { method: "GET", path: "/volumes", query: { filters: labelFilter(labels) } } as const;
      return ((await ask(volumesSchema, call)).Volumes ?? []).filter(({ Labels }) => hasAll(Labels, labels));
    },
    createVolume: (body) => ask(createdVolumeSchema, { method: "POST", path: "/volumes/create", body }),
    removeVolume: (name) =>
      act({
        method: "DELETE",
        path: `/volumes/${encodeURIComponent(name)}`,
        limitMs: DISK_LIMIT_MS,
        accepts: [404],
      }),
    events: async (labels, signal) => {
      const filters = JSON.stringify({ type: ["container"], label: labelTexts(labels) });
      const pieces = await request.open({ method: "GET", path: "/events", query: { filters }, signal });
      return readEvents(pieces);
    },
    usage: async (id) => {
      const query = { stream: "false", "one-shot": "true" };
      return toUsage(await ask(statsSchema, { method: "GET", path: onContainer(id, "stats"), query }));
    },
    output: async (id, sinceNs, signal) => {
      const since = sinceNs > 0n ? toUnixSeconds(sinceNs) : undefined;
      const query = { stdout: "true", stderr: "true", timestamps: "true", follow: "true", since };
      return readLogFrames(await request.open({ method: "GET", path: onContainer(id, "logs"), query, signal }));
    },
  };

  async function pull(reference: string, { signal, onProgress }: PullWish): Promise<void> {
    const silent = new AbortController();
    const life = AbortSignal.any([signal, silent.signal]);
    const arm = () =>
      deps.clock.timer(SILENT_PULL_MS, () => {
        silent.abort(new AppError("timeout", `nothing came for ${SILENT_PULL_MS / 1000} s`));
      });
    let timer = arm();
    try {
      const query = { fromImage: reference, tag: hasTag(reference) ? undefined : "latest" };
      const pieces = await request.open({
        method: "POST",
        path: "/images/create",
        query,
        limitMs: SILENT_PULL_MS,
        signal: life,
      });
      const sum = createPullSum();
      for await (const json of readJsonLines(pieces)) {
        timer.clear();
        timer = arm();
        const line = pullLineSchema.safeParse(json);
        if (!line.success) continue;
        // A full disk is the box's trouble, whatever was fetched.
        const { error } = line.data;
        if (error !== undefined) throw new AppError(codeOfText(error) === "storage" ? "storage" : "not-found", error);
        onProgress(sum(line.data));
      }
    } catch (thrown) {
      if (signal.aborted || !(thrown instanceof AppError)) throw thrown;
      if (thrown.message.startsWith(`${address.title} at `)) throw thrown;
      throw new AppError(
        thrown.code === "storage" ? "storage" : "not-found",
        `image ${reference} is not on this box and could not be fetched: ${thrown.message}`,
        {
          cause: thrown,
        },
      );
    } finally {
      timer.clear();
    }
  }
}

function unlessNotFound(thrown: unknown): undefined {
  if (thrown instanceof AppError && thrown.code === "not-found") return undefined;
  throw thrown;
}

/** Without a tag the engine would fetch all there are. */
function hasTag(reference: string): boolean {
  return reference.includes("@") || /:[^/]+$/.test(reference);
}

/** As the engine wants it, which takes no other form: `1795285013.063566141`. */
function toUnixSeconds(timeNs: bigint): string {
  return `${timeNs / NANOSECONDS}.${String(timeNs % NANOSECONDS).padStart(9, "0")}`;
}

function labelTexts(labels: Labels): readonly string[] {
  return Object.entries(labels).map(([name, value]) => `${name}=${value}`);
}

/** Podman gives volumes that have any one of several labels, and what is asked for may be removed: so it is held to all. */
function hasAll(found: Labels | null | undefined, wanted: Labels): boolean {
  return Object.entries(wanted).every(([name, value]) => found?.[name] === value);
}

function labelFilter(labels: Labels): string {
  return JSON.stringify({ label: labelTexts(labels) });
}

function read<T>(schema: z.ZodType<T>, text: string, { title, socketPath }: EngineAddress): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new AppError("unavailable", `${title} at ${socketPath} answered with something else than it should`, {
      cause,
    });
  }
}

async function* readEvents(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<EngineEvent> {
  for await (const json of readJsonLines(pieces)) {
    const event = eventSchema.safeParse(json);
    if (!event.success || event.data.Action === undefined || event.data.Actor === undefined) continue;
    yield { action: event.data.Action, containerId: event.data.Actor.ID };
  }
}

/** Page cache that can be given back at any time is not held: as the engines' own commands count it. */
function toUsage({ cpu_stats, memory_stats }: z.output<typeof statsSchema>): ContainerUsage {
  const { usage = 0, stats } = memory_stats;
  const cacheBytes = stats?.["total_inactive_file"] ?? stats?.["inactive_file"] ?? 0;
  return { cpuMs: cpu_stats.cpu_usage.total_usage / 1e6, memoryBytes: Math.max(0, usage - cacheBytes) };
}
