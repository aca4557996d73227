import { MASK } from "../base/redact.ts";
import { isSecretVariable } from "./session-secrets.ts";
import { maskUrl, type UrlRole } from "./stream-secrets.ts";

/**
 * Workloads and templates as they may be shown: URLs with their secrets masked, raw arguments that may hold one hidden. All
 * works on plain JSON, so that it serves templates too, whose placeholders make no valid spec yet.
 */

type Json = Readonly<Record<string, unknown>>;
type Rewrite = (text: string, place: Place) => string;

interface Place {
  readonly role: UrlRole | "argument" | "secret";
  /** `outputs[0]`: where in the spec it stands. */
  readonly path: string;
  /** The raw argument before it. */
  readonly before?: string | undefined;
}

/** FFmpeg options whose value opens something. */
const SECRET_OPTIONS =
  /^-(?:headers|cookies|passphrase|password|user|username|http_proxy|rtmp_conn|rtmp_playpath|streamid|srt_streamid|.*key.*|.*token.*|.*secret.*)$/i;

export function maskWorkload<Body extends object>(workload: Body): Body {
  return rewriteSpec(workload, maskText);
}

/**
 * The workload as it is meant by someone who saw it masked: what is exactly the masked form of what is held at the same place
 * is what is held. The place of a mask that hides nothing held is in `unknown`: nobody can say what was meant.
 */
export function unmaskWorkload<Body extends object>(
  asked: Body,
  held: object | undefined,
): { readonly workload: Body; readonly unknown: readonly string[] } {
  const hidden = new Map<string, { readonly shown: string; readonly text: string }>();
  if (held !== undefined) {
    rewriteSpec(held, (text, place) => {
      hidden.set(place.path, { shown: maskText(text, place), text });
      return text;
    });
  }
  const unknown: string[] = [];
  const workload = rewriteSpec(asked, (text, place) => {
    if (!text.includes(MASK)) return text;
    const known = hidden.get(place.path);
    if (known?.shown === text) return known.text;
    unknown.push(`spec.${place.path}`);
    return text;
  });
  return { workload, unknown };
}

function maskText(text: string, { role, before }: Place): string {
  if (role === "secret") return MASK;
  if (role !== "argument") return maskPlaceholderUrl(text, role);
  if (before !== undefined && SECRET_OPTIONS.test(before)) return MASK;
  return text.includes("://") ? maskPlaceholderUrl(text, "output") : text;
}

/** A placeholder stands for a plain word while its URL is taken apart. */
function maskPlaceholderUrl(text: string, role: UrlRole): string {
  const placeholders: string[] = [];
  const plain = text.replace(/\{\{[^{}]*\}\}/g, (placeholder) => `zz${placeholders.push(placeholder) - 1}zz`);
  return maskUrl(plain, role).replace(/zz(\d+)zz/g, (word, index: string) => placeholders[Number(index)] ?? word);
}

function rewriteSpec<Body extends object>(workload: Body, rewrite: Rewrite): Body {
  const spec = "spec" in workload ? workload.spec : undefined;
  if (!isObject(spec)) return workload;
  const next: Record<string, unknown> = { ...spec };
  if ("input" in spec) next["input"] = rewriteUrl(spec["input"], { role: "input", path: "input" }, rewrite);
  const { outputs, rawArguments } = { outputs: spec["outputs"], rawArguments: spec["rawArguments"] };
  if (Array.isArray(outputs)) {
    next["outputs"] = outputs.map((output: unknown, index) =>
      rewriteUrl(output, { role: "output", path: `outputs[${index}]` }, rewrite),
    );
  }
  if (isObject(rawArguments)) {
    next["rawArguments"] = Object.fromEntries(
      Object.entries(rawArguments).map(([side, list]) => [side, rewriteArguments(list, side, rewrite)]),
    );
  }
  if (isObject(spec["security"])) next["security"] = rewriteKeys(spec["security"], rewrite);
  if (isObject(spec["template"])) next["template"] = rewriteVariables(spec["template"], rewrite);
  return { ...workload, spec: next };
}

/** Keys that both ends of a tunnel hold, each told by its identity: a rotation puts another one into the same place. */
function rewriteKeys(security: Json, rewrite: Rewrite): Json {
  const { keys } = security;
  if (!Array.isArray(keys)) return security;
  return {
    ...security,
    keys: keys.map((key: unknown, index) => {
      if (!isObject(key) || typeof key["secret"] !== "string") return key;
      const name = typeof key["identity"] === "string" ? key["identity"] : `${index}`;
      return { ...key, secret: rewrite(key["secret"], { role: "secret", path: `security.keys[${name}].secret` }) };
    }),
  };
}

/** Variables of a session whose names say that they open something. */
function rewriteVariables(template: Json, rewrite: Rewrite): Json {
  const { env } = template;
  if (!isObject(env)) return template;
  const variables = Object.entries(env).map(([name, value]) => {
    if (typeof value !== "string" || !isSecretVariable(name)) return [name, value];
    return [name, rewrite(value, { role: "secret", path: `template.env.${name}` })];
  });
  return { ...template, env: Object.fromEntries(variables) };
}

/** A URL as a text and as an object are the same place. */
function rewriteUrl(value: unknown, place: Place, rewrite: Rewrite): unknown {
  if (typeof value === "string") return rewrite(value, place);
  if (!isObject(value) || typeof value["url"] !== "string") return value;
  return { ...value, url: rewrite(value["url"], place) };
}

function rewriteArguments(list: unknown, side: string, rewrite: Rewrite): unknown {
  if (!Array.isArray(list)) return list;
  return list.map((argument: unknown, index) => {
    if (typeof argument !== "string") return argument;
    const before: unknown = list[index - 1];
    const path = `rawArguments.${side}[${index}]`;
    return rewrite(argument, { role: "argument", path, before: typeof before === "string" ? before : undefined });
  });
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
