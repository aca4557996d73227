import { type RemotePolicy, remoteAbilities } from "../../contract/remote/remote-policy.ts";
import { type Check, ok, warn } from "./check.ts";

/** Whether operators may come to this box from afar, and what could be meant otherwise. */
export function checkRemote(policy: RemotePolicy): Check {
  const name = "remote access";
  const abilities = remoteAbilities(policy);
  const { operators, commands, shell, forward, sessions, rsync } = policy;
  if (abilities.length === 0) {
    const isHalf = operators.length + commands.length + forward.length + sessions.length + rsync.length > 0 || shell;
    if (!isHalf) return ok(name, "off (policy.remote is empty)");
    const missing = operators.length === 0 ? "policy.remote.operators is empty" : "nothing is allowed to anybody";
    return warn(name, `off: ${missing}`, "Name who may do what, or leave policy.remote out.");
  }
  const who = operators.includes("*") ? "everybody whom the hub lets" : operators.join(", ");
  const found = `${abilities.join(", ")} for ${who}`;
  const isWide = operators.includes("*") && (shell || commands.includes("*"));
  if (!isWide) return ok(name, found);
  return warn(name, found, "Every operator of the hub can do all that the agent's user can: name those who may.");
}
