import { randomUUID, X509Certificate } from "node:crypto";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import { createFileLog } from "../base/file-log.ts";
import type { Random } from "../base/random.ts";
import type { RunProgram } from "../base/spawn.ts";
import {
  type WorkerConfig,
  type WorkerCredentials,
  workerConfigSchema,
  workerCredentialsSchema,
} from "../contract/transfer/worker-config.ts";
import { runWorker } from "./worker.ts";

export interface TransferWorkerDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly pid: number;
  readonly runProgram: RunProgram;
  /** Brings the credentials; its end is this process's. */
  readonly input: Readable;
}

const MAX_LINE_CHARACTERS = 1024 * 1024;

/**
 * Moves the bytes of transfers apart from the agent, so that neither waits for the other. Runs until the signal or the end of its
 * input; whatever it was doing then is resumed from its journals.
 */
export async function runTransferWorker(
  configText: string,
  deps: TransferWorkerDeps,
  signal: AbortSignal,
): Promise<void> {
  const config = readConfig(configText);
  const { log, idle } = createFileLog(join(config.logDirectory, "transfer.log"), "TRANSFER", deps.clock);
  const ended = new AbortController();
  const first = Promise.withResolvers<WorkerCredentials>();
  let credentials: WorkerCredentials | undefined;
  takeLines(
    deps.input,
    (line) => {
      const parsed = workerCredentialsSchema.safeParse(parse(line));
      if (!parsed.success) return log.error("The agent sent credentials that cannot be read");
      credentials = parsed.data;
      first.resolve(parsed.data);
    },
    () => {
      ended.abort(new AppError("cancelled", "the agent has ended"));
      first.reject(ended.signal.reason);
    },
  );
  try {
    const begun = await first.promise;
    const now = () => credentials ?? begun;
    log.info(`Transfer worker ${config.workerId} (pid ${deps.pid}, sluice/${config.version})`);
    await runWorker(
      config,
      {
        ...deps,
        log,
        bootId: randomUUID(),
        credentials: now,
        certificateSha256: () => fingerprintOf(now().identity.cert),
        endpoints: (port) => endpointsOf(config, port),
      },
      AbortSignal.any([signal, ended.signal]),
    );
  } catch (thrown) {
    if (!ended.signal.aborted && !signal.aborted) {
      log.error(`The transfer worker ends: ${messageOf(thrown)}`);
      throw thrown;
    }
  } finally {
    log.info("The transfer worker ends");
    await idle();
  }
}

function readConfig(text: string): WorkerConfig {
  try {
    return workerConfigSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new AppError("invalid", `transfer-worker is started by the agent, and by nobody else: ${messageOf(cause)}`, {
      cause,
    });
  }
}

function takeLines(input: Readable, onLine: (line: string) => void, onEnd: () => void): void {
  let held = "";
  input.setEncoding("utf8");
  input.on("data", (part: string) => {
    held += part;
    const lines = held.split("\n");
    held = lines.pop() ?? "";
    for (const line of lines) if (line !== "") onLine(line);
    if (held.length > MAX_LINE_CHARACTERS) input.destroy();
  });
  input.once("close", onEnd);
  input.once("end", onEnd);
  input.on("error", () => input.destroy());
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function fingerprintOf(pem: string): string {
  return new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
}

/** As configured; else where it listens; else every address of this box that others could know. */
function endpointsOf({ endpoints, listen }: WorkerConfig, port: number) {
  if (endpoints.length > 0 || listen === undefined) return [...endpoints];
  const isAny = listen.host === "0.0.0.0" || listen.host === "::";
  if (!isAny) return [{ address: addressOf(listen.host, port), trusted: false }];
  return Object.entries(networkInterfaces()).flatMap(([iface, addresses = []]) =>
    addresses
      .filter(({ internal, address }) => !internal && !address.startsWith("fe80:"))
      .filter(({ family }) => listen.host === "::" || family === "IPv4")
      .map(({ address }) => ({ address: addressOf(address, port), iface, trusted: false })),
  );
}

function addressOf(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
