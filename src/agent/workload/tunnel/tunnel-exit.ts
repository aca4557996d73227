import type { ProcessExit } from "../../runtime/run-handle.ts";
import type { ExitVerdict } from "../driver.ts";

interface Rule {
  readonly class: string;
  readonly retry: ExitVerdict["retry"];
  readonly shows: RegExp;
}

/** What keeps stunnel from listening. An address may come with its interface, so only what nobody mends by itself waits long. */
const RULES: readonly Rule[] = [
  { class: "port-busy", retry: "backoff", shows: /Address already in use/ },
  { class: "no-such-address", retry: "backoff", shows: /Cannot assign requested address/ },
  { class: "not-allowed", retry: "long", shows: /Binding service.*Permission denied/ },
];
const CONFIGURATION_FAILED = /Configuration failed/;
const ERROR_LINE = /LOG[0-3]\[|^\[!\]/;

/** stunnel ends by itself only when it cannot do what it is asked: a peer that is away never ends it. Its own lines say why. */
export function classifyTunnelExit(exit: ProcessExit, output: readonly string[]): ExitVerdict {
  if (exit.signal !== null) return { class: "killed", retry: "backoff" };
  const failed = output.findLastIndex((line) => CONFIGURATION_FAILED.test(line));
  if (failed >= 0) {
    const said = output.slice(0, failed).findLast((line) => ERROR_LINE.test(line)) ?? output[failed] ?? "";
    const isKey = /cert|key|PEM|PSK/i.test(said);
    return { class: isKey ? "bad-key" : "bad-arguments", retry: "long", evidence: tidy(said) };
  }
  for (const rule of RULES) {
    const evidence = output.findLast((line) => rule.shows.test(line));
    if (evidence !== undefined) return { class: rule.class, retry: rule.retry, evidence: tidy(evidence) };
  }
  const error = exit.code === null ? undefined : output.findLast((line) => ERROR_LINE.test(line));
  return { class: "exited", retry: "backoff", ...(error === undefined ? {} : { evidence: tidy(error) }) };
}

/** `2026.11.21 15:13:37 LOG3[ui]: text` and `[!] text`: the time is told by the log. */
function tidy(line: string): string {
  return line.replace(/^[\d.]+ [\d:]+ LOG\d\[[^\]]*\]: /, "").replace(/^\[[ .!:]\] /, "");
}
