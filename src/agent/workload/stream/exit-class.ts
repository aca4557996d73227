import type { ProcessExit } from "../../runtime/run-handle.ts";
import type { ExitVerdict } from "../driver.ts";

type Retry = Pick<ExitVerdict, "retry" | "afterMs" | "taken">;

interface TextRule {
  readonly class: string;
  readonly retry: Retry;
  readonly pattern: RegExp;
}

const BACKOFF: Retry = { retry: "backoff" };
const LONG: Retry = { retry: "long" };
/** Ingests forget a publisher that vanished after 10 to 30 s. */
const PUBLISHER_FORGOTTEN: Retry = { retry: "after", afterMs: 20_000 };
/** A camera frees its session when the connection ends, or some seconds after it was lost. */
const SESSION_FREED: Retry = { retry: "after", afterMs: 10_000, taken: "camera" };
/** A device or port is free as soon as its holder is gone. */
const DEVICE_FREED: Retry = { retry: "after", afterMs: 5000, taken: "device" };

/** Lines that say by themselves what happened. Tried on the newest line first; the first rule that fits decides. */
const STRONG: readonly TextRule[] = [
  {
    class: "already-publishing",
    retry: PUBLISHER_FORGOTTEN,
    pattern:
      /already publishing|BadName|stream (?:is )?(?:already|busy)|^\[error\] rtmps?:.*: Operation not permitted/i,
  },
  {
    class: "camera-busy",
    retry: SESSION_FREED,
    pattern:
      /method [A-Z]+ failed: (?:453|503)\b|\b453 Not Enough Bandwidth|too many (?:open )?(?:connections|sessions|clients|users|viewers)|(?:max(?:imum)?|limit)\b.{0,40}\b(?:connections|sessions|clients|users)\b.{0,40}\b(?:reached|exceeded)/i,
  },
  {
    class: "unauthorized",
    retry: LONG,
    pattern:
      /\b40[13] (?:Unauthorized|Forbidden)|authorization failed|access denied|Incorrect passphrase|BADSECRET|(?:invalid|bad|unknown) stream ?key|Publish\.Unauthorized|Publish\.Rejected|Permission denied/i,
  },
  { class: "disk-full", retry: BACKOFF, pattern: /No space left on device|quota exceeded|Read-only file system/i },
  { class: "device-busy", retry: DEVICE_FREED, pattern: /resource busy|Address already in use/i },
  { class: "out-of-memory", retry: BACKOFF, pattern: /Cannot allocate memory|out of memory/i },
  {
    class: "bad-arguments",
    retry: LONG,
    pattern:
      /Unknown (?:encoder|decoder|input format)|Unrecognized option|Option (?:not found|.* not found)|Error (?:splitting|parsing|setting|applying) |Unable to (?:parse|find a suitable output format)|Undefined constant|Error while opening encoder|Error initializing (?:the muxer|complex filters)|not (?:currently )?supported in container|codec not (?:currently )?supported|incompatible with|Could not find tag for codec|matches no streams|does not contain any stream|not on whitelist|Protocol not found|Output format .* not available|: Invalid argument$|No such filter/i,
  },
  {
    class: "input-not-found",
    retry: BACKOFF,
    pattern: /\b(?:404|410) (?:Not Found|Gone)|No such file or directory|404 \(?Stream Not Found/i,
  },
  {
    class: "bad-input",
    retry: BACKOFF,
    pattern: /Invalid data found|moov atom not found|Could not find codec parameters/i,
  },
  {
    class: "network",
    retry: BACKOFF,
    pattern:
      /Connection (?:refused|reset|timed out|aborted)|timed out|Broken pipe|No route to host|(?:Network|Host) is (?:unreachable|down)|Failed to resolve|Name or service not known|Temporary failure in name resolution|Cannot read RTMP handshake|Server returned 5|\b5\d\d (?:Internal|Bad Gateway|Service|Gateway|Server)|Software caused connection abort|Transport endpoint/i,
  },
];

/** Lines that need a context; they decide only where no line above does. */
const WEAK: readonly TextRule[] = [
  // With a transport error there is a line of its own: here the server answered, and hung up.
  { class: "rejected", retry: BACKOFF, pattern: /^\[error\] rtmps?:.*: Input\/output error/ },
  { class: "network", retry: BACKOFF, pattern: /Input\/output error|End of file|Immediate exit requested/ },
];

const CRASHES = new Set<string>(["SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS"]);
/** What came long before the end did not cause it. */
const LINES_CONSIDERED = 20;
const MAX_EVIDENCE_CHARACTERS = 300;

export interface ExitContext {
  readonly exit: Pick<ProcessExit, "code" | "signal">;
  /** Last lines of standard error, oldest first, secrets taken out. */
  readonly output: readonly string[];
  /** The input ends by itself, and was not to be repeated. */
  readonly isFiniteInput: boolean;
}

/**
 * What an exit means. The code alone never tells: an RTSP input that times out exits 0, every kind of refusal exits 1, and
 * from release 7 on the code is a truncated error number.
 */
export function classifyExit({ exit, output, isFiniteInput }: ExitContext): ExitVerdict {
  const lines = output.slice(-LINES_CONSIDERED).reverse();
  if (exit.signal !== null) return fromSignal(exit.signal, lines);
  if (exit.code === 255) return verdict("asked", BACKOFF, lastError(lines));
  if (exit.code === 123) return verdict("hard-exit", BACKOFF, lastError(lines));
  if (exit.code === 69) return verdict("error-rate", BACKOFF, lastError(lines));
  if (exit.code === 0 && isFiniteInput) return verdict("finished", LONG, undefined);
  const told = fromText(lines, STRONG) ?? fromText(lines, WEAK);
  if (told !== undefined) return told;
  return verdict(exit.code === 0 ? "end-of-input" : "unknown", BACKOFF, lastError(lines) ?? lines[0]);
}

function fromSignal(signal: string, lines: readonly string[]): ExitVerdict {
  const kind = CRASHES.has(signal) ? "crashed" : signal === "SIGKILL" ? "out-of-memory" : "signalled";
  return verdict(kind, BACKOFF, lastError(lines));
}

function fromText(lines: readonly string[], rules: readonly TextRule[]): ExitVerdict | undefined {
  for (const line of lines) {
    const rule = rules.find(({ pattern }) => pattern.test(line));
    if (rule !== undefined) return verdict(rule.class, rule.retry, line);
  }
  return undefined;
}

function lastError(lines: readonly string[]): string | undefined {
  return lines.find((line) => /\[(?:error|fatal|panic)\]/.test(line));
}

function verdict(kind: string, retry: Retry, line: string | undefined): ExitVerdict {
  const evidence = line
    ?.replace(/ @ 0x[0-9a-f]+\]/g, "]")
    .trim()
    .slice(0, MAX_EVIDENCE_CHARACTERS);
  return { class: kind, ...retry, ...(evidence === undefined || evidence === "" ? {} : { evidence }) };
}
