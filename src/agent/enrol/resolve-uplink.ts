import { AppError } from "../../base/errors.ts";
import type { AgentOptions } from "../../config/agent-options.ts";
import { boxAddress, hubOfEvents, isServerAddress } from "../../contract/hub-address.ts";
import type { HubIdentity } from "../registry/identity-file.ts";

/** Where this agent's server is, and as whom it goes there. */
export interface Uplink {
  readonly boxId: string;
  readonly endpoint: string | undefined;
  readonly reportEndpoint: string | undefined;
  /** Absent: the server is no hub, or not known to be one. */
  readonly hub: string | undefined;
  /** Its own key opens the hub; else what the configuration gives. */
  readonly usesOwnKey: boolean;
}

export interface UplinkFacts {
  /** In force, or asked for. */
  readonly identity: Pick<HubIdentity, "hub" | "boxId"> | undefined;
  /** Of the enrolment token in the configuration. */
  readonly enrolmentHub: string | undefined;
}

/**
 * Pure. The configuration beats what enrolment left behind; an address that names a server and no path is a hub's, once there
 * is anything to open it with. Throws `config` when the configuration names another box than the one that is enrolled.
 */
export function resolveUplink(
  { box, link, report }: Pick<AgentOptions, "box" | "link" | "report">,
  { identity, enrolmentHub }: UplinkFacts,
): Uplink {
  const hasToken = link.token !== undefined || link.tokenFile !== undefined;
  const canBeBox = identity !== undefined || enrolmentHub !== undefined;
  const plain = { boxId: box.id, endpoint: link.endpoint, reportEndpoint: report.endpoint, hub: undefined };

  if (link.endpoint !== undefined && !(isServerAddress(link.endpoint) && (hasToken || canBeBox))) {
    const events = hubOfEvents(link.endpoint);
    if (events === undefined) return { ...plain, usesOwnKey: false };
    const usesOwnKey = !hasToken && canBeBox && (identity?.boxId ?? box.id) === events.boxId;
    return { ...plain, hub: events.hub, usesOwnKey };
  }
  const hub = link.endpoint ?? identity?.hub ?? enrolmentHub;
  if (hub === undefined) return { ...plain, usesOwnKey: false };
  const usesOwnKey = !hasToken && canBeBox;
  if (usesOwnKey && identity !== undefined && box.isIdGiven && box.id !== identity.boxId) {
    throw new AppError(
      "config",
      `box.id: given ${box.id}; this state directory is enrolled as ${identity.boxId}. Take box.id out, or enrol again: sluice enrol TOKEN --id ${box.id}`,
      { field: "box.id" },
    );
  }
  const boxId = usesOwnKey && !box.isIdGiven ? (identity?.boxId ?? box.id) : box.id;
  return {
    boxId,
    endpoint: boxAddress(hub, boxId, "events"),
    reportEndpoint: report.endpoint ?? boxAddress(hub, boxId, "report"),
    hub,
    usesOwnKey,
  };
}
