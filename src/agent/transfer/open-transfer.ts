import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AppError } from "../../base/errors.ts";
import { createPipePool } from "../../base/pipe-pool.ts";
import type { RunDirectory } from "../../base/run-directory.ts";
import type { Service } from "../../base/service.ts";
import { spawnPiped } from "../../base/spawn-piped.ts";
import { hubOfEvents } from "../../contract/hub-address.ts";
import type { WorkerConfig, WorkerCredentials } from "../../contract/transfer/worker-config.ts";
import type { AgentContext } from "../agent-context.ts";
import { readsClientCertificate } from "../enrol/client-certificate.ts";
import { readToken } from "../uplink.ts";
import { tunnelFiles } from "../workload/tunnel/tunnel-files.ts";
import { loadTunnelKey } from "../workload/tunnel/tunnel-keys.ts";
import { createWorkerKeeper } from "./worker-keeper.ts";

/** One process beside the agent moves the files of transfers. `undefined`: this box has no storage. */
export function openTransfer(
  context: AgentContext,
  { runDirectory }: { readonly runDirectory: RunDirectory },
): Service | undefined {
  const { options, enrolment, program, version, clock, random } = context;
  const { transfer, link, files } = options;
  if (transfer.storages.length === 0) return undefined;
  const log = context.logFor("TRANSFER");
  const logDirectory = dirname(files.log);
  const config: WorkerConfig = {
    workerId: options.box.id,
    version,
    logDirectory,
    storages: [...transfer.storages],
    ...(transfer.listen === undefined || !transfer.ways.includes("direct") ? {} : { listen: transfer.listen }),
    endpoints: [...transfer.endpoints],
    ways: [...transfer.ways],
    maxStreams: transfer.maxStreams,
    ...(transfer.maxBytesPerSecond === undefined ? {} : { maxBytesPerSecond: transfer.maxBytesPerSecond }),
  };
  const certificate = readsClientCertificate(link);

  const credentials = async (signal: AbortSignal): Promise<WorkerCredentials> => {
    const hub = enrolment?.status().hub ?? (link.endpoint === undefined ? undefined : hubOfEvents(link.endpoint)?.hub);
    if (hub === undefined) throw new AppError("config", "transfer.storages: there is no hub to work for");
    await enrolment?.enrolled(signal);
    const identity = await loadTunnelKey(
      { files: tunnelFiles(join(files.stateDir, "transfer")), uid: options.box.id, role: "producer", generation: 1 },
      { runProgram: context.spawner.runProgram, signal },
    );
    const text = await readFile(identity.path, "utf8");
    const authorities = [enrolment?.ca(), link.caFile === undefined ? undefined : readFileSync(link.caFile, "utf8")];
    const ca = authorities.filter((one) => one !== undefined).join("\n");
    const key = enrolment === undefined ? await readToken(context) : enrolment.key();
    return {
      hub,
      ...(key === undefined ? {} : { key }),
      ...(ca === "" ? {} : { ca }),
      ...(certificate === undefined ? {} : { client: certificate() }),
      identity: { cert: identity.pem, key: text },
    };
  };

  let pipes: ReturnType<typeof createPipePool> | undefined;
  return createWorkerKeeper(
    { config, program },
    {
      clock,
      random,
      log,
      credentials,
      progress: context.progress.loop("transfer worker"),
      spawn: (launch) => {
        pipes ??= createPipePool(join(runDirectory.path, "transfer.pipes"), { runProgram: context.spawner.runProgram });
        return spawnPiped(launch, pipes);
      },
      close: () => pipes?.close(),
    },
  );
}
