import { dirname, join } from "node:path";
import { messageOf } from "../../base/errors.ts";
import type { RunDirectory } from "../../base/run-directory.ts";
import type { AgentContext } from "../agent-context.ts";
import { readAuthority } from "../link/read-authority.ts";
import { openRemoteBook } from "../registry/remote-book.ts";
import type { StateDocumentDeps } from "../registry/state-document.ts";
import { systemBoxFacts } from "./box-facts.ts";
import { openBoxKey } from "./box-key.ts";
import { createHolders } from "./holders.ts";
import { createRemoteAccess, type RemoteAccess } from "./remote-access.ts";

export interface RemoteParts {
  readonly runDirectory: RunDirectory;
  readonly bootId: string;
  readonly fileDeps: StateDocumentDeps;
}

/** Never rejects: a disk that is full or read-only must not keep the box from its streams. */
export async function openRemote(
  context: AgentContext,
  { runDirectory, bootId, fileDeps }: RemoteParts,
): Promise<RemoteAccess> {
  const { clock, options, spawner, enrolment, version } = context;
  const { stateDir } = options.files;
  const log = context.logFor("REMOTE");
  const keyPath = join(stateDir, "remote_key.pem");
  const key = await openBoxKey(keyPath).catch((thrown: unknown) => {
    log.error(`No remote session can come to this box: ${messageOf(thrown)}`);
    return undefined;
  });
  return createRemoteAccess({
    policy: options.policy.remote,
    box: systemBoxFacts({ runProgram: spawner.runProgram, userId: context.userId }),
    holders: createHolders(
      {
        runDirectory: runDirectory.path,
        stateDir,
        logDirectory: dirname(options.files.log),
        version,
        program: context.program,
        keyPath,
      },
      { clock, log, spawner },
    ),
    book: openRemoteBook(join(stateDir, "remote_sessions.json"), fileDeps),
    bootId,
    boxId: options.box.id,
    key,
    log,
    clock,
    ca: () => {
      const given = [enrolment?.ca(), readAuthority(options.link.caFile)];
      const known = given.filter((one) => one !== undefined);
      return known.length === 0 ? undefined : known.join("\n");
    },
  });
}
