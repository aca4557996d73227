import type { TunnelSpec } from "../../../contract/tunnel-spec.ts";
import { acceptedCertificates, sharedSecrets } from "./trusted-material.ts";
import type { TunnelFiles } from "./tunnel-files.ts";

/** One service of a stunnel configuration, its options as they take effect: those before the first service come first. */
export interface StunnelService {
  readonly name: string;
  readonly options: readonly StunnelOption[];
}

export interface StunnelOption {
  readonly name: string;
  readonly value: string;
}

/** What stunnel would read out of a configuration. */
export function parseStunnelConfig(text: string): {
  readonly global: readonly StunnelOption[];
  readonly services: readonly StunnelService[];
} {
  const global: StunnelOption[] = [];
  const services: { name: string; options: StunnelOption[] }[] = [];
  for (const line of text.split("\n").map((whole) => whole.trim())) {
    const name = /^\[(.*)\]$/.exec(line)?.[1];
    const equals = line.indexOf("=");
    if (name !== undefined) services.push({ name, options: [] });
    else if (equals > 0 && !line.startsWith(";")) {
      const option = { name: line.slice(0, equals).trim(), value: line.slice(equals + 1).trim() };
      (services.at(-1)?.options ?? global).push(option);
    }
  }
  return { global, services: services.map(({ name, options }) => ({ name, options: [...global, ...options] })) };
}

/** The last word on an option, as stunnel has it. */
export function optionOf({ options }: StunnelService, name: string): string | undefined {
  return options.findLast((option) => option.name.toLowerCase() === name.toLowerCase())?.value;
}

export interface TrustEvidence {
  readonly configText: string;
  /** Of the file that the configuration names. */
  readonly peersText: string;
  readonly secretsText: string;
}

/**
 * What no attack can show, for want of somebody else's key: that beside the right peer nobody else is believed. The first
 * thing that is not so, in words.
 */
export function findMisplacedTrust(spec: TunnelSpec, files: TunnelFiles, evidence: TrustEvidence): string | undefined {
  const { services } = parseStunnelConfig(evidence.configText);
  if (services.length !== spec.legs.length)
    return `${services.length} services are configured for ${spec.legs.length} legs`;
  for (const service of services) {
    const wrong = wantedOptions(spec, files).find(([name, value]) => optionOf(service, name) !== value);
    if (wrong !== undefined) {
      const [name, wanted] = wrong;
      return `[${service.name}] has ${name} = ${optionOf(service, name) ?? "nothing"}, where it must be ${wanted ?? "nothing"}`;
    }
  }
  if (evidence.peersText !== acceptedCertificates(spec))
    return "other certificates are accepted than those that are pinned";
  if (spec.security.kind === "psk" && evidence.secretsText !== sharedSecrets(spec))
    return "other shared keys are accepted";
  return undefined;
}

function wantedOptions(
  { security }: TunnelSpec,
  files: TunnelFiles,
): readonly (readonly [string, string | undefined])[] {
  return [
    ["verifyPeer", "yes"],
    ["verify", undefined],
    ["redirect", undefined],
    ["CApath", undefined],
    ["CAfile", files.peersPath],
    ["PSKsecrets", security.kind === "psk" ? files.secretsPath : undefined],
  ];
}
