import { join } from "node:path";
import { z } from "zod";
import { LOG_LEVELS } from "../base/log.ts";
import { boxIdSchema } from "../contract/identifier.ts";
import {
  forwardRuleSchema,
  operatorPatternSchema,
  rsyncRootSchema,
  sessionPatternSchema,
  userPatternSchema,
  variablePatternSchema,
} from "../contract/remote/remote-policy.ts";
import { SESSION_PLATFORMS, type SessionPlatformName } from "../contract/session-spec.ts";
import { hostSchema as hostNameSchema, ipAddressSchema } from "../contract/tunnel-spec.ts";
import { type AgentOption, type DefaultContext, derivedOption, option, unsetOption } from "./agent-option.ts";
import { CLUSTER_OPTIONS } from "./cluster-options-table.ts";
import {
  booleanValue,
  bytesValue,
  choiceValue,
  coresValue,
  countValue,
  enrolmentTokenValue,
  httpAddressValue,
  labelsValue,
  listValue,
  loopbackListenValue,
  memoryValue,
  outputTemplateValue,
  pathValue,
  portRangeValue,
  programValue,
  schemaValue,
  secondsValue,
  textValue,
} from "./option-value.ts";
import { boxIdFromHostname, defaultStateDirectory, reportEndpointOf } from "./state-directory.ts";
import { TRANSFER_OPTIONS } from "./transfer-options-table.ts";

const INPUT_SCHEMES = ["rtsp", "rtsps", "rtmp", "rtmps", "srt", "http", "https", "hls", "udp", "rtp", "file", "test"];
const OUTPUT_SCHEMES = ["rtmp", "rtmps", "srt", "rtsp", "rtsps", "hls", "http", "https", "udp", "file"];
const schemeSchema = z.string().regex(/^[a-z][a-z0-9+.-]{0,19}$/);
const hostSchema = z.string().regex(/^(?:\*\.)?[A-Za-z0-9_.:[\]-]{1,253}$/);
const imagePatternSchema = z.string().regex(/^(?:\*|[A-Za-z0-9][A-Za-z0-9._/:@-]{0,299}\*?)$/);
const commandPatternSchema = z.string().regex(/^(?:\*|\/[^\p{Cc}]{1,1023})$/u);
/** A cluster is shared by many: it is used where somebody says so. */
const DEFAULT_PLATFORMS = ["docker", "podman", "process"] as const satisfies readonly SessionPlatformName[];
const pathSchema = z
  .string()
  .max(4096)
  .regex(/^\/[^\p{Cc}]*$/u);

/**
 * Every option of the agent, by its key path in the configuration file. File, environment, flags, `--print-config` and
 * `docs/configuration.md` all come from this table. Times are seconds here, as people write them.
 */
export const AGENT_OPTIONS = {
  "box.id": derivedOption<string, string>(
    schemaValue(boxIdSchema, "1 to 63 letters, digits, dots, dashes or underscores, not starting with . or -", "id"),
    {
      help: "Name by which the hub knows this box. Part of the mark that every child process carries.",
      fallbackText: "the host's name, made safe",
      fallback: ({ facts }) => ({ value: boxIdFromHostname(facts.hostname), because: "host name" }),
    },
  ),
  "box.name": unsetOption(textValue(200), { help: "Name for people." }),
  "box.labels": option<Readonly<Record<string, string>>>(
    labelsValue(),
    {},
    { help: "Labels that the hub may select by." },
  ),

  "link.endpoint": unsetOption(httpAddressValue(), {
    help: "Address of the event stream (SSE), or of a hub (`https://hub.example:8443`). Without it an enrolled box goes to its hub, and any other keeps what it last knew.",
    oldNames: ["SSE_ENDPOINT"],
  }),
  "link.tokenFile": derivedOption<string, string | undefined>(pathValue(), {
    help: "File that holds the bearer token; read again at each attempt. SLUICE_TOKEN holds the token itself.",
    fallbackText: "`token` in systemd's credentials directory, if it exists",
    fallback: ({ credentialFile }) => ({
      value: credentialFile,
      because: credentialFile === undefined ? "not set" : "CREDENTIALS_DIRECTORY",
    }),
  }),
  "link.caFile": unsetOption(pathValue(), {
    help: "Certificate authorities (PEM) to trust for the endpoint, beside the system's.",
  }),
  "link.certFile": unsetOption(pathValue(), {
    help: "Certificate (PEM, with its chain) that this box shows to a hub that asks for one. Read for each request. Needs link.keyFile.",
  }),
  "link.keyFile": unsetOption(pathValue(), {
    help: "Private key (PEM) of link.certFile.",
  }),
  "link.enrolmentToken": unsetOption(enrolmentTokenValue(), {
    help: "One-time token (`sluice1.…`) by which this box enrols with its hub, once. Better in a file, or by `sluice enrol`.",
  }),
  "link.enrolmentTokenFile": unsetOption(pathValue(), {
    help: "File that holds the enrolment token; read only while the box is not enrolled.",
  }),
  "link.keyRotationDays": option(countValue({ min: 0, max: 3650 }), 90, {
    help: "Age in days at which an enrolled box changes its key. 0: only when it is told to.",
  }),
  "link.retryDelaySeconds": option(secondsValue({ min: 0.05, max: 60 }), 5, {
    help: "Ceiling of the first wait between attempts; it doubles up to 60 s.",
    oldNames: ["SSE_RETRY_DELAY"],
  }),
  "link.maxRetries": option(countValue({ min: 1, max: 1_000_000 }), 10, {
    help: "Attempts without an event after which the link is called degraded. It never stops trying.",
    oldNames: ["SSE_MAX_RETRIES"],
  }),
  "link.connectTimeoutSeconds": option(secondsValue({ min: 0.1, max: 300 }), 10, {
    help: "Limit from the dial to the answer's headers.",
    oldNames: ["CONNECTION_TIMEOUT"],
  }),
  "link.replayWindowSeconds": option(secondsValue({ min: 0, max: 300 }), 0, {
    help: "For a server without snapshots that repeats its starts after each connect: what it starts within this time is the whole set. 0: off.",
  }),

  "report.endpoint": derivedOption<string, string | undefined>(httpAddressValue(), {
    help: "Address that reports are posted to.",
    fallbackText: "beside the events of a hub (`…/v1/boxes/<id>/report`); not set for other servers",
    fallback: ({ linkEndpoint }) => {
      const value = reportEndpointOf(linkEndpoint);
      return { value, because: value === undefined ? "not set" : "from link.endpoint" };
    },
  }),
  "report.intervalSeconds": option(secondsValue({ min: 1, max: 3600 }), 15, {
    help: "Time between reports when nothing changes.",
  }),

  "streams.outputTemplate": unsetOption(outputTemplateValue(), {
    help: "Where events that name only a cameraUrl and a streamKey send to.",
  }),
  "streams.ffmpegPath": option(programValue(), "ffmpeg", { help: "FFmpeg to run." }),
  "streams.ffprobePath": option(programValue(), "ffprobe", { help: "ffprobe to look at inputs with." }),
  "streams.startDeadlineSeconds": option(secondsValue({ min: 1, max: 600 }), 30, {
    help: "Limit from a stream's launch to its first media.",
  }),
  "streams.stallSeconds": option(secondsValue({ min: 1, max: 600 }), 7, {
    help: "Counters that do not move for this long mean a stall.",
  }),

  "streams.update": option(choiceValue(["auto", "replace"]), "auto", {
    help: "When a stream's spec changes: start the new process beside the old one and stop the old one once the new one's media is proved, where both can run at a time; or always stop the old one first.",
  }),
  "streams.updateDeadlineSeconds": option(secondsValue({ min: 5, max: 600 }), 20, {
    help: "Limit from the launch of a changed stream beside its old self to steady media. After it the new process is stopped and the old one goes on.",
  }),

  "tunnels.address": unsetOption(schemaValue(hostNameSchema, "a host name or an IP address", "host"), {
    help: "Where other boxes reach the gateways of this box. Without it this box can be a producer only for tunnels that say how it is reached.",
  }),
  "tunnels.ports": option(portRangeValue(), "20000-20999", {
    help: "Ports that tunnels take on this box where none is asked for.",
  }),
  "tunnels.stunnelPath": option(programValue(), "stunnel", { help: "stunnel to run (5.60 or later)." }),
  "tunnels.uplinkMbit": unsetOption(countValue({ min: 1, max: 1_000_000 }), {
    help: "What this box can send, in Mbit/s: a hub admits tunnels that name a rate against it.",
  }),
  "tunnels.proofSeconds": option(secondsValue({ min: 10, max: 86_400 }), 180, {
    help: "Time between two whole proofs of a tunnel's end: it attacks itself and must refuse. A handshake with its peer is repeated every 15 s.",
  }),

  "sessions.platforms": option(
    listValue(z.enum(SESSION_PLATFORMS), SESSION_PLATFORMS.join(", ")),
    [...DEFAULT_PLATFORMS],
    {
      help: "What may run sessions on this box, the first that suits a session first. What is not installed is told as away. `kubernetes` only where it is named.",
    },
  ),
  "sessions.dockerSocket": option(pathValue(), "/var/run/docker.sock", { help: "Where Docker Engine is asked." }),
  "sessions.podmanSocket": option(pathValue(), "/run/podman/podman.sock", {
    help: "Where Podman is asked (`podman system service`).",
  }),
  "sessions.address": option(schemaValue(ipAddressSchema, "an IPv4 or IPv6 address", "host"), "127.0.0.1", {
    help: "Address of this box on which sessions can be reached where their ports name none.",
  }),
  "sessions.urlHost": unsetOption(schemaValue(hostNameSchema, "a host name or an IP address", "host"), {
    help: "Name of this box in the URLs of sessions. Without it: the address that the port is on.",
  }),
  "sessions.ports": option(portRangeValue(), "21000-21999", {
    help: "Ports of this box that sessions of the platform `process` get where none is asked for.",
  }),
  "sessions.max": option(countValue({ min: 0, max: 10_000 }), 100, {
    help: "Sessions that this box takes, hibernated ones included.",
  }),
  "sessions.idleGraceSeconds": option(secondsValue({ min: 0, max: 86_400 }), 60, {
    help: "After a start or a wake no session hibernates by itself for this long.",
  }),

  ...CLUSTER_OPTIONS,
  ...TRANSFER_OPTIONS,

  "metrics.listen": unsetOption(loopbackListenValue(), {
    help: "Where Prometheus reads `/metrics`. Without it they are on the agent's socket alone (`GET /v1/metrics`).",
  }),

  "boot.onReboot": option(choiceValue(["clear", "resume"]), "clear", {
    help: "After a reboot: forget what was expected and wait for the server, or resume it at once.",
  }),
  "boot.detectionThresholdSeconds": option(secondsValue({ min: 1, max: 86_400 }), 300, {
    help: "Uptime below which a start counts as a reboot, only where no boot id can be had.",
    oldNames: ["BOOT_DETECTION_THRESHOLD"],
  }),

  "reconcile.shrinkHoldSeconds": option(secondsValue({ min: 0, max: 3600 }), 60, {
    help: "How long a snapshot that would stop more than half of the streams (and more than two) is held back.",
  }),
  "reconcile.intervalSeconds": option(secondsValue({ min: 1, max: 3600 }), 30, {
    help: "Longest time between two laps of reconciliation and health.",
    oldNames: ["HEALTH_CHECK_INTERVAL"],
  }),

  "shutdown.streams": option(choiceValue(["keep", "stop"]), "keep", {
    help: "When the agent is told to stop: leave streams running for the next agent, or stop them all.",
  }),

  "guard.memory": unsetOption(memoryValue(), {
    help: "Memory limit of a stream that names none.",
  }),
  "guard.cpu": unsetOption(coresValue(), {
    help: "Limit, in processor cores, of a stream that names none.",
  }),
  "guard.maxMemory": unsetOption(memoryValue(), {
    help: "Most memory that any stream may have, whatever the server says.",
  }),
  "guard.maxCpu": unsetOption(coresValue(), {
    help: "Most processor cores that any stream may have, whatever the server says.",
  }),
  "guard.cgroups": option(choiceValue(["auto", "off"]), "auto", {
    help: "Let the kernel hold streams to their limits, where the agent may make cgroups. Else limits are measured.",
  }),
  "guard.nice": option(countValue({ min: 0, max: 15 }), 5, {
    help: "Niceness of a stream of priority 50; others get up to 5 more or less. 0: leave all as they are.",
  }),
  "guard.admissionCpuPercent": option(countValue({ min: 0, max: 100 }), 0, {
    help: "While the box uses more of its processors than this, new streams wait. 0: off.",
  }),
  "guard.shedCpuPercent": option(countValue({ min: 0, max: 100 }), 0, {
    help: "When the box uses more than this for a minute, the least important stream gives way, if others matter more. 0: off.",
  }),
  "guard.memoryFreePercent": option(countValue({ min: 0, max: 50 }), 3, {
    help: "When less of the memory is available than this, the least important stream gives way; of equals the largest. 0: off.",
  }),
  "guard.diskFreeBytes": option(bytesValue({ min: 0, max: 2 ** 50 }), 268_435_456, {
    help: "When a file root has less free space than this, nothing is recorded there. 0: off.",
  }),
  "guard.recordingsBytes": unsetOption(bytesValue({ min: 1_048_576, max: 2 ** 50 }), {
    help: "Most that the recordings below each file root may take together.",
  }),
  "guard.deleteRecordings": option(booleanValue(), false, {
    help: "Delete the oldest files that streams recorded, instead of recording no more, to stay within the two budgets.",
  }),
  "guard.logsBytes": option(bytesValue({ min: 1_048_576, max: 2 ** 40 }), 134_217_728, {
    help: "Most that the logs of all streams may take together.",
  }),

  "policy.inputs": option(listValue(schemeSchema, "URL schemes, such as rtsp"), INPUT_SCHEMES, {
    help: "Input schemes that this box allows, whatever the server says.",
  }),
  "policy.outputs": option(listValue(schemeSchema, "URL schemes, such as rtmp"), OUTPUT_SCHEMES, {
    help: "Output schemes that this box allows.",
  }),
  "policy.hosts": option(listValue(hostSchema, "host names, `*.example.com` for subdomains"), [], {
    help: "Hosts that inputs and outputs may name. Empty: any.",
  }),
  "policy.fileRoots": option(listValue(pathSchema, "absolute directories"), [], {
    help: "Directories that files may be read from and written to. Empty: none.",
  }),
  "policy.exclusiveInputs": option(listValue(hostSchema, "host names, `*.example.com` for subdomains"), [], {
    help: "Hosts whose inputs allow one reader at a time (cameras with one session). Streams of this box take turns there.",
  }),
  "policy.tunnelSources": option(listValue(hostSchema, "host names or addresses, `*.example.com` for subdomains"), [], {
    help: "Hosts that the producer's end of a tunnel may lead to. Empty: any.",
  }),
  "policy.images": option(
    listValue(imagePatternSchema, "references of images, `*` for any ending: registry.example/apps/*"),
    [],
    {
      help: "Images that sessions may run. None by default: who may run any image may do anything on this box.",
    },
  ),
  "policy.sessionCommands": option(listValue(commandPatternSchema, "absolute paths of programs, or * for all"), [], {
    help: "Programs that sessions of the platform `process` may run. None by default.",
  }),
  "policy.sessionMounts": option(listValue(pathSchema, "absolute directories"), [], {
    help: "Directories of this box that sessions may use as volumes, with all that lies below them. None by default.",
  }),
  "policy.remote.operators": option(listValue(operatorPatternSchema, "names of operators, or * for all"), [], {
    help: "Operators who may come to this box from afar, by their names at the hub. Empty: nobody, and remote access is off.",
  }),
  "policy.remote.commands": option(listValue(commandPatternSchema, "absolute paths of programs, or * for all"), [], {
    help: "Programs that operators may run (`sluice exec`). Mind what a program can be told to start. None by default.",
  }),
  "policy.remote.shell": option(booleanValue(), false, {
    help: "Allow operators the login shell of a user: everything that this user can do.",
  }),
  "policy.remote.users": option(listValue(userPatternSchema, "names of users, or * for all"), [], {
    help: "Users beside the agent's own as whom operators may run commands and shells, where the agent runs as root.",
  }),
  "policy.remote.directories": option(listValue(pathSchema, "absolute directories"), [], {
    help: "Directories in which operators may let a command begin, with all that lies below them. Empty: in the user's home alone.",
  }),
  "policy.remote.environment": option(
    listValue(variablePatternSchema, "names of variables, `*` for any ending: APP_*"),
    [],
    {
      help: "Variables that operators may set for a command, beside those of language and terminal. All where policy.remote.commands is *.",
    },
  ),
  "policy.remote.forward": option(
    listValue(forwardRuleSchema, "host:port, host:port-port or *, with /tcp or /udp where one is meant"),
    [],
    {
      help: "Where forwards may lead, seen from this box: localhost:80, 192.168.1.20:554, [fd00::1]:5000-5010/udp. None by default.",
    },
  ),
  "policy.remote.sessions": option(listValue(sessionPatternSchema, "ids of sessions, or beginnings with *"), [], {
    help: "Sessions of this box whose declared ports operators may reach from afar (`sluice session forward`), wherever they listen on it. Nothing else of the box is opened by it. None by default.",
  }),
  "policy.remote.rsync": option(listValue(rsyncRootSchema, "absolute directories, each with :ro or :rw"), [], {
    help: "Directories that operators may copy from (`:ro`) or from and to (`:rw`) with rsync, with all below them. None by default.",
  }),
  "policy.rawArguments": option(booleanValue(), false, {
    help: "Allow streams to bring their own FFmpeg arguments. Whoever controls the server then controls FFmpeg.",
  }),

  "files.stateDir": derivedOption<string, string>(pathValue(), {
    help: "Directory of everything that the agent remembers (mode 0700).",
    fallbackText: "systemd's `STATE_DIRECTORY`, else `/var/lib/sluice` for root, else `sluice` in the XDG state home",
    fallback: ({ env, facts }) => defaultStateDirectory(env, facts),
  }),
  "files.registry": inStateDirectory("registry.json", "Record of the running processes.", "STREAM_REGISTRY"),
  "files.persistentState": inStateDirectory(
    "persistent_state.json",
    "What the server last expected of this box.",
    "PERSISTENT_STATE",
  ),
  "files.log": inStateDirectory("logs/stream_system.log", "The agent's own log.", "LOG_FILE"),

  "log.level": option(choiceValue(LOG_LEVELS), "info", {
    help: "Least important lines that are written.",
    oldNames: [
      // Many programs read DEBUG in their own ways; only a plain yes is meant for this one.
      { name: "DEBUG", translate: (text) => (/^(?:1|true|yes|on)$/i.test(text) ? "debug" : undefined) },
      "LOG_LEVEL",
    ],
  }),
  "log.maxFileBytes": option(countValue({ min: 65_536, max: 1_073_741_824 }), 10_485_760, {
    help: "Size at which the agent's own log is rotated. Logs of workloads: at 1 MiB, sooner where many share guard.logsBytes.",
  }),
  "log.keepFiles": option(countValue({ min: 1, max: 100 }), 5, {
    help: "Files kept of the agent's own log, the current one included. Of a workload's log three, fewer where guard.logsBytes asks for it.",
  }),
} as const satisfies Readonly<Record<string, AnyOption>>;

/** What the loader needs of a row, whatever its type. */
export type AnyOption = AgentOption<unknown, unknown>;

export type AgentOptionKey = keyof typeof AGENT_OPTIONS;
export type AgentOptionValues = {
  readonly [K in AgentOptionKey]: (typeof AGENT_OPTIONS)[K] extends AgentOption<infer T, infer D> ? T | D : never;
};

/** Keys of later releases that shared files may hold: accepting them without doing anything would be a lie. */
export const UNSUPPORTED_KEYS = ["storages", "dataPlane", "uplink"] as const;

export function isAgentOptionKey(key: string): key is AgentOptionKey {
  return Object.hasOwn(AGENT_OPTIONS, key);
}

export const AGENT_OPTION_KEYS: readonly AgentOptionKey[] = Object.keys(AGENT_OPTIONS).filter(isAgentOptionKey);

/** `link.tokenFile` → `SLUICE_LINK_TOKEN_FILE`; the state directory has the short name that everyone knows. */
export function environmentNameOf(key: AgentOptionKey): string {
  if (key === "files.stateDir") return "SLUICE_STATE_DIR";
  return `SLUICE_${words(key).join("_").toUpperCase()}`;
}

/** `link.tokenFile` → `--link-token-file`. */
export function flagOf(key: AgentOptionKey): string {
  if (key === "files.stateDir") return "--state-dir";
  return `--${words(key).join("-")}`;
}

function words(key: string): string[] {
  return key
    .replace(/([a-z])([A-Z])/g, "$1.$2")
    .toLowerCase()
    .split(".");
}

function inStateDirectory(name: string, help: string, oldName: string): AgentOption<string, string> {
  return derivedOption<string, string>(pathValue(), {
    help,
    oldNames: [oldName],
    fallbackText: `\`${name}\` in the state directory`,
    fallback: ({ stateDir }: DefaultContext) => ({ value: join(stateDir, name), because: "in the state directory" }),
  });
}
