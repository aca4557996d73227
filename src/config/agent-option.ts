import type { OptionValue } from "./option-value.ts";
import type { Derived, Environment, HostFacts } from "./state-directory.ts";

/** What a default may depend on. */
export interface DefaultContext {
  readonly env: Environment;
  readonly facts: HostFacts;
  /** The state directory and the event address as they were decided; absent while they are being decided. */
  readonly stateDir: string;
  readonly linkEndpoint: string | undefined;
  /** A token that systemd hands over (`LoadCredential=token:…`), where the file exists. */
  readonly credentialFile: string | undefined;
}

/** A name from before `SLUICE_*`. */
export interface OldName {
  readonly name: string;
  /** Turns its text into the option's text; undefined means that it says nothing. */
  readonly translate?: (text: string) => string | undefined;
}

/** One option. `D` is `undefined` where it may stay unset. */
export interface AgentOption<T, D extends T | undefined> {
  readonly value: OptionValue<T>;
  readonly help: string;
  readonly fallback: (context: DefaultContext) => Derived<T | D>;
  /** The default in words, for the manual. */
  readonly fallbackText: string;
  readonly oldNames: readonly OldName[];
}

interface OptionText {
  readonly help: string;
  readonly oldNames?: readonly (string | OldName)[];
}

/** An option with a fixed default. */
export function option<T>(value: OptionValue<T>, fixed: NoInfer<T>, text: OptionText): AgentOption<T, T> {
  return derivedOption<T, T>(value, {
    ...text,
    fallbackText: `\`${textOf(fixed)}\``,
    fallback: () => ({ value: fixed, because: "default" }),
  });
}

/** An option that stays unset unless someone sets it. */
export function unsetOption<T>(value: OptionValue<T>, text: OptionText): AgentOption<T, undefined> {
  return derivedOption<T, undefined>(value, {
    ...text,
    fallbackText: "not set",
    fallback: () => ({ value: undefined, because: "not set" }),
  });
}

/** An option whose default depends on the host. */
export function derivedOption<T, D extends T | undefined>(
  value: OptionValue<T>,
  text: OptionText & Pick<AgentOption<T, D>, "fallback" | "fallbackText">,
): AgentOption<T, D> {
  const oldNames = (text.oldNames ?? []).map((name) => (typeof name === "string" ? { name } : name));
  return { value, help: text.help, fallback: text.fallback, fallbackText: text.fallbackText, oldNames };
}

/** A value as it is written in the environment and on the command line. */
export function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? "(empty)" : value.join(",");
  if (typeof value === "object" && value !== null) {
    const pairs = Object.entries(value).map(([name, label]) => `${name}=${label}`);
    return pairs.length === 0 ? "(empty)" : pairs.join(",");
  }
  return String(value);
}
