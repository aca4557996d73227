import { MASK } from "../base/redact.ts";
import type { SessionRunSpec } from "./session-spec.ts";

/** Names of variables whose values open something. */
const SECRET_NAME = /pass|secret|token|key|credential/i;

export function isSecretVariable(name: string): boolean {
  return SECRET_NAME.test(name);
}

type Environment = Pick<SessionRunSpec, "template">;

/** What of a session must never be shown, in the form that the redactor takes. */
export function sessionSecrets({ template }: Environment): {
  readonly values: readonly string[];
  readonly urls: readonly [];
} {
  const values = secretVariables(template.env).flatMap(([, value]) => (value === MASK ? [] : [value]));
  return { values: [...new Set(values)], urls: [] };
}

/**
 * Where the spec holds the mask of a secret in place of the secret, such as `spec.template.env.DB_PASSWORD`: whoever wrote it has
 * seen it masked only. It must not be run like this.
 */
export function maskedPlaces({ template }: Environment): readonly string[] {
  return secretVariables(template.env).flatMap(([name, value]) =>
    value === MASK ? [`spec.template.env.${name}`] : [],
  );
}

function secretVariables(env: Environment["template"]["env"]): readonly (readonly [string, string])[] {
  return Object.entries(env ?? {}).filter(([name]) => isSecretVariable(name));
}
