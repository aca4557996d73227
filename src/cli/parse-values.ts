import { AppError } from "../base/errors.ts";

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, min: 60, h: 3600, d: 86_400, w: 604_800 };

/** `90s`, `15m`, `24h`, `7d`, `1h30m`; a bare number is seconds. Throws `invalid`. */
export function parseDurationSeconds(text: string, field: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(min|[smhdw])/g)];
  if (/^\d+$/.test(text)) return Number(text);
  if (parts.length > 0 && parts.map(([part]) => part).join("") === text) {
    return Math.round(
      parts.reduce((sum, [, amount = "0", unit = "s"]) => sum + Number(amount) * (SECONDS[unit] ?? 1), 0),
    );
  }
  throw new AppError(
    "invalid",
    `${field}: given ${JSON.stringify(text)}; allowed: a duration such as 90s, 15m, 24h or 7d`,
    {
      field,
    },
  );
}

/** `15m` (ago), or a moment such as `2026-01-15T10:00:00Z`; as ISO 8601. Throws `invalid`. */
export function parseMoment(
  text: string,
  { field, nowMs }: { readonly field: string; readonly nowMs: number },
): string {
  const atMs = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(atMs)) return new Date(atMs).toISOString();
  try {
    return new Date(nowMs - parseDurationSeconds(text, field) * 1000).toISOString();
  } catch (cause) {
    throw new AppError(
      "invalid",
      `${field}: given ${JSON.stringify(text)}; allowed: a time such as 2026-01-15T10:00:00Z, or how long ago: 15m, 24h`,
      { field, cause },
    );
  }
}

/** A whole number within bounds. Throws `invalid`. */
export function parseWhole(
  text: string,
  { field, min, max }: { readonly field: string; readonly min: number; readonly max: number },
): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new AppError(
    "invalid",
    `${field}: given ${JSON.stringify(text)}; allowed: a whole number from ${min} to ${max}`,
    {
      field,
    },
  );
}

export interface LabelChanges {
  readonly set: Readonly<Record<string, string>>;
  readonly remove: readonly string[];
}

/** `site=north` sets, `site-` removes. Throws `invalid` for anything else, and for a label named twice. */
export function parseLabelChanges(texts: readonly string[], field: string): LabelChanges {
  const set: Record<string, string> = {};
  const remove: string[] = [];
  for (const text of texts) {
    const [, key, value] = /^([^=]+)=(.*)$/.exec(text) ?? [];
    const [, removed] = /^([^=]+)-$/.exec(text) ?? [];
    const name = key ?? removed;
    if (name === undefined) {
      throw new AppError(
        "invalid",
        `${field}: given ${JSON.stringify(text)}; allowed: KEY=VALUE to set, KEY- to remove`,
        {
          field,
        },
      );
    }
    if (Object.hasOwn(set, name) || remove.includes(name)) {
      throw new AppError("invalid", `${field}: ${JSON.stringify(name)} is named twice`, { field });
    }
    if (value === undefined) remove.push(name);
    else set[name] = value;
  }
  return { set, remove };
}

export function applyLabelChanges(
  labels: Readonly<Record<string, string>>,
  { set, remove }: LabelChanges,
): Record<string, string> {
  return Object.fromEntries(Object.entries({ ...labels, ...set }).filter(([key]) => !remove.includes(key)));
}

/** For options that may be given several times. */
export function gather(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text];
}
