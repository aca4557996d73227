import type { Clock } from "../../../base/clock.ts";
import type { RunProgram } from "../../../base/spawn.ts";
import type { AgentOptions } from "../../../config/agent-options.ts";
import type { TunnelFacts } from "../../../contract/tunnel-status.ts";

const VERSION_LIMITS = { timeoutMs: 10_000, maxOutputBytes: 16_384 };
/** It may be installed or upgraded while the agent runs. */
const ASK_AGAIN_MS = 600_000;

/** What this box declares for tunnels. The version of stunnel is asked for beside, and told once it is known. */
export function createTunnelFacts(
  { address, ports, uplinkMbit, stunnelPath }: AgentOptions["tunnels"],
  deps: { readonly runProgram: RunProgram; readonly clock: Clock },
): { read(): TunnelFacts } {
  let engine: string | undefined;
  let askedAtMs = deps.clock.monotonicMs();

  const ask = async (): Promise<void> => {
    engine = await readStunnelVersion(stunnelPath, deps.runProgram).catch(() => undefined);
  };

  // The first report should tell it already.
  void ask();
  return {
    read: () => {
      const nowMs = deps.clock.monotonicMs();
      if (nowMs - askedAtMs >= ASK_AGAIN_MS) {
        askedAtMs = nowMs;
        void ask();
      }
      return {
        ...(address === undefined ? {} : { address }),
        ports,
        ...(uplinkMbit === undefined ? {} : { uplinkMbit }),
        ...(engine === undefined ? {} : { engine }),
      };
    },
  };
}

/** `stunnel 5.68 (OpenSSL 3.0.9)`; undefined for a program that is none. Rejects with `not-found` where there is none. */
export async function readStunnelVersion(path: string, runProgram: RunProgram): Promise<string | undefined> {
  const { stderr, stdout } = await runProgram(path, ["-version"], VERSION_LIMITS);
  const text = `${stderr}\n${stdout}`;
  const version = /\bstunnel (\d\S*) on /.exec(text)?.[1];
  const library = /\bwith (OpenSSL \S+)/.exec(text)?.[1];
  return version === undefined ? undefined : `stunnel ${version}${library === undefined ? "" : ` (${library})`}`;
}
