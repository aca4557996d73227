import { type Command, Option } from "commander";
import { AppError } from "../../base/errors.ts";
import { printYamlDocuments } from "../../config/print-yaml-documents.ts";
import { parseSessionFile } from "../../config/session-file.ts";
import { maskWorkload } from "../../contract/mask-workload.ts";
import { sessionSecrets } from "../../contract/session-secrets.ts";
import {
  SESSION_PLATFORMS,
  type SessionPlatformName,
  type SessionSpec,
  sessionSpecSchema,
} from "../../contract/session-spec.ts";
import { ipAddressSchema } from "../../contract/tunnel-spec.ts";
import { describeProblem } from "../../contract/wire-event-problem.ts";
import { SERVICE_TYPES, type ServiceType } from "../../translate/kubernetes-manifests.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { printJson } from "../output.ts";
import { readGivenFile } from "../read-given-file.ts";
import { translateSession } from "../translate-session.ts";

interface TranslateFlags {
  readonly file: string;
  readonly platform?: SessionPlatformName;
  readonly showSecrets?: boolean;
  readonly address: string;
  readonly namespace: string;
  readonly ingressHost?: string;
  readonly ingressClass?: string;
  readonly storageClass?: string;
  readonly serviceType: ServiceType;
}

/** As `sessions.address` and `sessions.ports` of a box that sets neither. */
const DEFAULT_ADDRESS = "127.0.0.1";
const FIRST_PORT = 21_000;
const NAMESPACE = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

export function addSessionTranslate(command: Command, context: CommandContext, finish: Finish): void {
  command
    .command("translate")
    .description("print what a platform would be asked for, and ask nobody for anything")
    .requiredOption("-f, --file <file>", "the session as YAML or JSON; - is standard input")
    .addOption(
      new Option(
        "--platform <platform>",
        "the file's own when left out; else docker for an image, process for a command",
      ).choices([...SESSION_PLATFORMS]),
    )
    .option("--address <address>", "where ports that name no address can be reached", DEFAULT_ADDRESS)
    .option("--namespace <namespace>", "kubernetes: where everything is made", "default")
    .option(
      "--ingress-host <template>",
      "kubernetes: where ports of the scheme http are published, such as {{port}}-{{session}}.apps.example",
    )
    .option("--ingress-class <name>", "kubernetes: who publishes them; else the cluster's default")
    .option("--storage-class <name>", "kubernetes: of volumes; else the cluster's default")
    .addOption(
      new Option("--service-type <type>", "kubernetes: who reaches the ports")
        .choices([...SERVICE_TYPES])
        .default("ClusterIP"),
    )
    .option("--show-secrets", "print secret variables as they are")
    .addHelpText(
      "after",
      "\nJSON, and YAML for kubernetes. What only a box knows stands in angle brackets. No hub is asked, and none has to be known.",
    )
    .action(async (flags: TranslateFlags) => finish(await runSessionTranslate(flags, context)));
}

export async function runSessionTranslate(flags: TranslateFlags, context: CommandContext): Promise<number> {
  const { address, showSecrets, namespace, ingressHost, ingressClass, storageClass, serviceType } = flags;
  if (!ipAddressSchema.safeParse(address).success) {
    throw new AppError("invalid", `--address: given ${JSON.stringify(address)}; allowed: an IPv4 or IPv6 address`, {
      field: "--address",
    });
  }
  if (!NAMESPACE.test(namespace)) {
    const given = JSON.stringify(namespace);
    const allowed = "1 to 63 small letters, digits or dashes, no dash at either end";
    throw new AppError("invalid", `--namespace: given ${given}; allowed: ${allowed}`, { field: "--namespace" });
  }
  const { path, text } = await readGivenFile(flags.file, "--file", context);
  const spec = toSpec(path, text);
  const shown = showSecrets === true ? spec : maskWorkload({ spec }).spec;
  const platform = flags.platform ?? platformOf(spec);
  const cluster = { namespace, ingressHost, ingressClass, storageClass, serviceType };
  const translated = translateSession(shown, platform, { address, firstPort: FIRST_PORT, cluster });
  if (platform !== "kubernetes") printJson(context.io, translated);
  else context.io.write(toYaml(translated, sessionSecrets(spec).values.length > 0 && showSecrets !== true));
  return 0;
}

/** What is masked is so before it is written as Kubernetes has it, in Base64: nobody would see that. */
function toYaml(manifests: unknown, isMasked: boolean): string {
  const note = isMasked ? "# Secrets are masked; --show-secrets prints them.\n" : "";
  return `${note}${printYamlDocuments(Array.isArray(manifests) ? manifests : [manifests])}`;
}

/** Whose it is matters to no translation but as a word. */
function toSpec(path: string, text: string): SessionSpec {
  const { name: _name, box: _box, select: _select, onLost: _onLost, ...given } = parseSessionFile(path, text);
  const candidate = { user: "operator", ...given };
  const parsed = sessionSpecSchema.safeParse(candidate);
  if (parsed.success) return parsed.data;
  throw new AppError("config", `${path}: ${describeProblem(parsed.error, candidate)}`);
}

function platformOf({ platform, template }: SessionSpec): SessionPlatformName {
  return platform ?? (template.image === undefined ? "process" : "docker");
}
