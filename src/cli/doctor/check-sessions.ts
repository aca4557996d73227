import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { errnoOf } from "../../base/errors.ts";
import type { AgentOptions } from "../../config/agent-options.ts";
import { type Check, ok, warn } from "./check.ts";

interface SessionOptions {
  readonly sessions: Pick<AgentOptions["sessions"], "platforms" | "dockerSocket" | "podmanSocket" | "kubernetes">;
  readonly policy: Pick<AgentOptions["policy"], "images" | "sessionCommands">;
}

/** What this box could run sessions with, and whether its owner lets it. Whether an engine answers, the agent tells. */
export async function checkSessions({ sessions, policy }: SessionOptions): Promise<Check> {
  const { images, sessionCommands } = policy;
  if (images.length + sessionCommands.length === 0) {
    return ok("sessions", "none is allowed (policy.images and policy.sessionCommands are empty)");
  }
  const sockets = { docker: sessions.dockerSocket, podman: sessions.podmanSocket } as const;
  const found = await Promise.all(
    sessions.platforms.map(async (platform) => {
      if (platform === "process") {
        const text = sessionCommands.length === 0 ? "policy.sessionCommands is empty" : undefined;
        return { platform, problem: text };
      }
      if (images.length === 0) return { platform, problem: "policy.images is empty" };
      return {
        platform,
        problem: await (platform === "kubernetes"
          ? kubeconfigProblem(sessions.kubernetes.kubeconfig)
          : socketProblem(sockets[platform])),
      };
    }),
  );
  const ready = found.flatMap(({ platform, problem }) => (problem === undefined ? [platform] : []));
  const text = found.map(({ platform, problem }) => `${platform}${problem === undefined ? "" : ` (${problem})`}`);
  const what = `on ${text.join(", ") || "nothing: sessions.platforms is empty"}`;
  if (ready.length > 0) return ok("sessions", what);
  return warn(
    "sessions",
    what,
    "Install Docker or Podman and let this user use its socket, name a kubeconfig, or allow programs.",
  );
}

/** Every pod has it that was not told otherwise. */
const SERVICE_ACCOUNT_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token";

async function kubeconfigProblem(path = SERVICE_ACCOUNT_TOKEN): Promise<string | undefined> {
  try {
    await access(path, constants.R_OK);
    return undefined;
  } catch (thrown) {
    return `${path}: ${errnoOf(thrown) === "ENOENT" ? "not there" : "not for this user"}`;
  }
}

async function socketProblem(path: string): Promise<string | undefined> {
  try {
    if (!(await stat(path)).isSocket()) return `${path} is no socket`;
    await access(path, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (thrown) {
    return `${path}: ${errnoOf(thrown) === "ENOENT" ? "not there" : "not for this user"}`;
  }
}
