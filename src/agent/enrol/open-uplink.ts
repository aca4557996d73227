import { randomBytes } from "node:crypto";
import { AppError, messageOf } from "../../base/errors.ts";
import { createHttpFetch } from "../../base/http-fetch.ts";
import type { Log } from "../../base/log.ts";
import type { AgentOptions } from "../../config/agent-options.ts";
import { parseEnrolmentString } from "../../contract/fleet/enrolment-string.ts";
import type { AgentDeps } from "../agent-context.ts";
import { readTokenFile } from "../link/credentials.ts";
import { type IdentityFileDeps, openIdentityFile } from "../registry/identity-file.ts";
import type { EnrolDeps } from "./enrol-box.ts";
import { createEnrolment, type Enrolment } from "./enrolment.ts";
import { resolveUplink } from "./resolve-uplink.ts";

export interface OpenUplink {
  /** With the box's id and the addresses that are used. */
  readonly options: AgentOptions;
  /** Absent: this box goes to its server with what the configuration gives it. */
  readonly enrolment: Enrolment | undefined;
}

/** For the one process that holds the state directory. Rejects with `config`. */
export async function openUplink(options: AgentOptions, deps: AgentDeps & { readonly log: Log }): Promise<OpenUplink> {
  const enrolDeps = createEnrolDeps(options.files.stateDir, deps);
  const { current } = enrolDeps.file.current();
  for (const secret of [current?.key, current?.nextKey]) if (secret !== undefined) deps.redactor.addSecret(secret);
  const { link } = options;
  const isAsked = link.enrolmentToken !== undefined || link.enrolmentTokenFile !== undefined;
  const token = async () =>
    link.enrolmentToken ?? (link.enrolmentTokenFile === undefined ? undefined : readTokenFile(link.enrolmentTokenFile));
  const enrolmentHub = current === undefined && isAsked ? await hubOfToken(options, token) : undefined;

  const uplink = resolveUplink(options, { identity: current, enrolmentHub });
  const used: AgentOptions = {
    ...options,
    box: { ...options.box, id: uplink.boxId },
    link: { ...link, endpoint: uplink.endpoint },
    report: { ...options.report, endpoint: uplink.reportEndpoint },
  };
  if (!uplink.usesOwnKey || uplink.hub === undefined) return { options: used, enrolment: undefined };
  const { name, labels } = options.box;
  const enrolment = createEnrolment(
    { hub: uplink.hub, boxId: uplink.boxId, name, labels, keyRotationMs: link.keyRotationMs },
    { ...enrolDeps, random: deps.random, log: deps.log, token },
  );
  return { options: used, enrolment };
}

export function createEnrolDeps(
  stateDir: string,
  deps: Pick<AgentDeps, "clock" | "fetch" | "redactor" | "clientCertificate"> & Omit<IdentityFileDeps, "clock">,
): EnrolDeps {
  const { clock, fetch, redactor, clientCertificate: certificate } = deps;
  return {
    file: openIdentityFile(stateDir, deps),
    fetchTrusting: (ca) => (ca === undefined ? fetch : createHttpFetch({ ca, certificate })),
    clock,
    newKey: () => randomBytes(32).toString("base64url"),
    addSecret: redactor.addSecret,
    stateDir,
  };
}

/** `undefined` only where the configuration says itself where the hub is, and the token may come later. */
async function hubOfToken(
  { link }: AgentOptions,
  token: () => Promise<string | undefined>,
): Promise<string | undefined> {
  const field = "link.enrolmentTokenFile";
  try {
    const content = parseEnrolmentString((await token()) ?? "");
    if (content === undefined) {
      throw new AppError("config", `${field}: what stands in it is no enrolment token; allowed: what the hub printed`, {
        field,
      });
    }
    return content.hub;
  } catch (thrown) {
    if (link.endpoint !== undefined) return link.endpoint;
    if (thrown instanceof AppError && thrown.code === "config") throw thrown;
    throw new AppError("config", `${field}: ${messageOf(thrown)}`, { field, cause: thrown });
  }
}
