import type { HubEndpoint } from "../../client/hub-transport.ts";
import { LINK_COMMAND } from "../../contract/remote/link-command.ts";
import type { CommandContext } from "../command-context.ts";
import type { LinkKeeperOptions } from "./keep-link.ts";
import type { LinkTools } from "./link-tools.ts";

/** What a keeper reads on its standard input. */
export interface KeeperInput extends Omit<LinkKeeperOptions, "version"> {
  readonly endpoint: HubEndpoint;
}

/** What TLS, names and times depend on; nothing else of an operator's environment concerns a keeper. */
const PASSED = [
  ...["PATH", "HOME", "TZ", "MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_"],
  ...["NODE_EXTRA_CA_CERTS", "NODE_OPTIONS", "NODE_USE_SYSTEM_CA", "SSL_CERT_FILE", "SSL_CERT_DIR"],
];

export function passedEnvironment(env: CommandContext["env"]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    PASSED.flatMap((name) => {
      const value = env[name];
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}

/** Of the one who wrote it, which is this very program. */
export function readKeeperInput(text: string): KeeperInput {
  return JSON.parse(text) as KeeperInput;
}

/** Resolves before it is there; rejects where it cannot be started. */
export async function startKeeper(
  input: KeeperInput,
  { remote, env }: Pick<CommandContext, "remote" | "env">,
  { startApart }: Pick<LinkTools, "startApart">,
): Promise<void> {
  const [file = "", ...args] = remote.self;
  await startApart({
    file,
    args: [...args, LINK_COMMAND],
    env: passedEnvironment(env),
    input: JSON.stringify(input),
    inputPath: `${input.path}.${remote.pid}.input`,
  });
}
