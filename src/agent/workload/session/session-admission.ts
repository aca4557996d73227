import { join, normalize } from "node:path/posix";
import { AppError } from "../../../base/errors.ts";
import { matchesEnding } from "../../../base/matches-ending.ts";
import type { BoxPolicy } from "../../../config/agent-options.ts";
import { maskedPlaces } from "../../../contract/session-secrets.ts";
import type { SessionPlatformName, SessionRunSpec, SessionVolume } from "../../../contract/session-spec.ts";
import { requireClusterFit } from "../../../translate/kubernetes-manifests.ts";
import type { Claim, Refusal } from "../driver.ts";
import { portClaim, shortHash } from "../port-claim.ts";
import { isInsideRoots, type PathLookup } from "../stream/file-root.ts";

export type SessionPolicy = Pick<BoxPolicy, "images" | "sessionCommands" | "sessionMounts">;

export interface SessionAdmission {
  readonly platform: SessionPlatformName;
  readonly policy: SessionPolicy;
  /** Follows links, so that none leads out of what is allowed. */
  readonly disk: PathLookup;
}

/** Holds a session against the box's policy and against itself. Messages name the field, what was given and what is allowed. */
export function admitSession(spec: SessionRunSpec, { platform, policy, disk }: SessionAdmission): Refusal | undefined {
  return (
    (platform === "process" ? refuseCommand(spec, policy) : refuseImage(spec, policy)) ??
    refuseCluster(spec, platform) ??
    refuseMasks(spec) ??
    refusePorts(spec) ??
    refuseVolumes(spec, platform) ??
    refuseMounts(spec, { policy, disk })
  );
}

function refuseCommand(
  { template: { command = [] }, gpus }: SessionRunSpec,
  policy: SessionPolicy,
): Refusal | undefined {
  const [program = ""] = command;
  if (gpus !== undefined)
    return refuse(`gpus: given ${gpus}; allowed with the platform process: none, it sees what the box has`);
  const { sessionCommands } = policy;
  const isAllowed =
    sessionCommands.includes("*") || (program.startsWith("/") && sessionCommands.includes(normalize(program)));
  if (isAllowed) return undefined;
  const allowed = sessionCommands.join(", ") || "none";
  return { rule: "policy.sessionCommands", message: `template.command[0]: given ${program}; allowed: ${allowed}` };
}

function refuseImage({ template: { image = "" } }: SessionRunSpec, { images }: SessionPolicy): Refusal | undefined {
  if (images.some((pattern) => matchesEnding(pattern, image))) return undefined;
  return { rule: "policy.images", message: `template.image: given ${image}; allowed: ${images.join(", ") || "none"}` };
}

/** What no Deployment can be asked for, the translation says. */
function refuseCluster(spec: SessionRunSpec, platform: SessionPlatformName): Refusal | undefined {
  if (platform !== "kubernetes") return undefined;
  try {
    requireClusterFit({ spec });
    return undefined;
  } catch (thrown) {
    if (thrown instanceof AppError) return refuse(thrown.message);
    throw thrown;
  }
}

function refuseMasks(spec: SessionRunSpec): Refusal | undefined {
  const [place] = maskedPlaces(spec);
  return place === undefined ? undefined : refuse(`${place}: given a mask; allowed: the secret itself`);
}

function refusePorts({ template: { ports = [] } }: SessionRunSpec): Refusal | undefined {
  const seen = new Map<string, number>();
  for (const [index, { port, protocol = "tcp", name }] of ports.entries()) {
    for (const key of [`${port}/${protocol}`, ...(name === undefined ? [] : [name])]) {
      const first = seen.get(key);
      if (first !== undefined) {
        return refuse(`template.ports[${index}]: ${key} is that of ports[${first}] too; allowed: each port its own`);
      }
      seen.set(key, index);
    }
  }
  return undefined;
}

function refuseVolumes({ volumes = [] }: SessionRunSpec, platform: SessionPlatformName): Refusal | undefined {
  const names = new Set<string>();
  const paths = new Map<string, number>();
  for (const [index, { name, path, readOnly }] of volumes.entries()) {
    if (platform === "process" && readOnly === true) {
      return refuse(
        `volumes[${index}].readOnly: given true; allowed with the platform process: false, nothing keeps it from writing`,
      );
    }
    if (platform !== "process" && !path.startsWith("/")) {
      return refuse(`volumes[${index}].path: given ${path}; allowed: an absolute path`);
    }
    const place = join("/", path).replace(/\/+$/, "");
    if (place === "") return refuse(`volumes[${index}].path: given ${path}; allowed: a path below the root`);
    if (names.has(name)) return refuse(`volumes[${index}].name: ${name} is there twice; allowed: each name once`);
    const other = [...paths].find(
      ([known]) => `${known}/`.startsWith(`${place}/`) || `${place}/`.startsWith(`${known}/`),
    );
    if (other !== undefined) {
      return refuse(
        `volumes[${index}].path: ${path} and that of volumes[${other[1]}] lie in one another; allowed: each its own`,
      );
    }
    names.add(name);
    paths.set(place, index);
  }
  return undefined;
}

function refuseMounts(
  { volumes = [] }: SessionRunSpec,
  { policy: { sessionMounts }, disk }: Pick<SessionAdmission, "policy" | "disk">,
): Refusal | undefined {
  const index = volumes.findIndex(
    ({ hostPath }) => hostPath !== undefined && !isInsideRoots(hostPath, sessionMounts, disk),
  );
  const hostPath = volumes[index]?.hostPath;
  if (hostPath === undefined) return undefined;
  const allowed = sessionMounts.length === 0 ? "none" : `${sessionMounts.join(", ")} and what lies below`;
  return {
    rule: "policy.sessionMounts",
    message: `volumes[${index}].hostPath: given ${hostPath}; allowed: ${allowed}`,
  };
}

function refuse(message: string): Refusal {
  return { rule: "spec", message };
}

/** Ports that it asks for by number, and directories of the box that it writes to: each serves one session at a time. */
export function sessionClaims(
  { template: { ports = [] }, volumes = [] }: SessionRunSpec,
  ownAddress: string,
): readonly Claim[] {
  const fixed = ports.flatMap(({ hostPort, protocol = "tcp", address = ownAddress }) =>
    hostPort === undefined ? [] : [portClaim(protocol, address, hostPort)],
  );
  return [...fixed, ...volumes.flatMap(directoryClaim)];
}

function directoryClaim({ hostPath, readOnly }: SessionVolume): readonly Claim[] {
  if (hostPath === undefined || readOnly === true) return [];
  const label = normalize(hostPath).replace(/(?<=.)\/+$/, "");
  return [{ key: `directory:${shortHash(label)}`, kind: "directory", label, isExclusive: true }];
}
