import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { RunDirectory } from "../../base/run-directory.ts";
import type { AgentContext } from "../agent-context.ts";
import { openRemoteBook } from "../registry/remote-book.ts";
import type { StateDocumentDeps } from "../registry/state-document.ts";
import { systemBoxFacts } from "./box-facts.ts";
import { createHolders } from "./holders.ts";
import { createRemoteAccess, type RemoteAccess } from "./remote-access.ts";

export interface RemoteParts {
  readonly runDirectory: RunDirectory;
  readonly bootId: string;
  readonly fileDeps: StateDocumentDeps;
}

export function openRemote(context: AgentContext, { runDirectory, bootId, fileDeps }: RemoteParts): RemoteAccess {
  const { clock, options, spawner, enrolment, version } = context;
  const { stateDir } = options.files;
  const log = context.logFor("REMOTE");
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
      },
      { clock, log, spawner },
    ),
    book: openRemoteBook(join(stateDir, "remote_sessions.json"), fileDeps),
    bootId,
    log,
    ca: () => {
      const { caFile } = options.link;
      const given = [enrolment?.ca(), caFile === undefined ? undefined : readFileSync(caFile, "utf8")];
      const known = given.filter((one) => one !== undefined);
      return known.length === 0 ? undefined : known.join("\n");
    },
  });
}
