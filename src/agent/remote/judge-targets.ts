import { isIP } from "node:net";
import { canonicalHost } from "../../base/canonical-host.ts";
import { AppError } from "../../base/errors.ts";
import type { ForwardTarget } from "../../contract/remote/operation.ts";
import type { GrantedTarget } from "../../contract/remote/remote-grant.ts";
import { type ForwardRule, parseForwardRule } from "../../contract/remote/remote-policy.ts";

/**
 * Each target must lie within one rule. A name is compared as a name and an address as an address: what a name leads to is judged
 * when it is dialled, and that address is the one that is dialled. Throws `refused` for the first that no rule allows.
 */
export function judgeTargets(targets: readonly ForwardTarget[], rules: readonly string[]): GrantedTarget[] {
  const parsed = rules.flatMap((rule) => parseForwardRule(rule) ?? []);
  return targets.map((target, index): GrantedTarget => {
    const { protocol, from, to } = target;
    const host = canonicalHost(target.host);
    if (host === undefined) {
      throw new AppError(
        "refused",
        `targets[${index}].host: given ${target.host}; allowed: a name, an IPv4 address in four decimal parts, or an IPv6 address`,
      );
    }
    const covering = parsed.filter((rule) => covers(rule, host, target));
    if (covering.length === 0) {
      const shown = `${host.includes(":") ? `[${host}]` : host}:${from === to ? from : `${from}-${to}`}/${protocol}`;
      const allowed = rules.length === 0 ? "none" : rules.join(", ");
      throw new AppError("refused", `policy.remote.forward: given ${shown}; allowed: ${allowed}`);
    }
    const isAny = isIP(host) !== 0 || covering.some((rule) => rule.host === "*");
    const isByName = isAny || host !== LOCALHOST || covering.some((rule) => rule.host === LOCALHOST);
    const addresses = isByName ? {} : { addresses: covering.map((rule) => rule.host) };
    return { protocol, host, from, to, reach: isAny ? "any" : "named", ...addresses };
  });
}

const LOCALHOST = "localhost";
const LOOPBACK: ReadonlySet<string> = new Set(["127.0.0.1", "::1"]);

/** This very box has a name and two addresses that everybody means the same by. */
function isSameHost(rule: string, host: string): boolean {
  return rule === host || (rule === LOCALHOST && LOOPBACK.has(host)) || (host === LOCALHOST && LOOPBACK.has(rule));
}

function covers(rule: ForwardRule, host: string, { protocol, from, to }: ForwardTarget): boolean {
  const isHost = rule.host === "*" || isSameHost(rule.host, host);
  return isHost && rule.protocols.includes(protocol) && rule.from <= from && to <= rule.to;
}
