/**
 * Knows the exact secrets of this process and takes them out of text: plain, percent-encoded, as JSON writes them and in
 * base64. Whole URLs that hold a secret are replaced by their masked form first, so that even a short key does not show.
 */
export interface Redactor {
  /** Replaces `value` wherever it appears, for good. Values shorter than `MIN_SECRET_LENGTH` would blank ordinary words: ignored. */
  addSecret(value: string): void;
  /** Replaces the exact text `url` by `masked`, for good. Any length. */
  addUrl(url: string, masked: string): void;
  /** The present value of something that changes, such as a token: the last `ROTATED_KEPT` of this name are replaced. */
  rotateSecret(name: string, value: string): void;
  /** As `addSecret` and `addUrl`, until what it answers is called; what somebody else knows too stays. */
  learn(secrets: Secrets): () => void;
  redact(text: string): string;
  /** Texts that are looked for, each form of a secret by itself. */
  size(): number;
}

export interface Secrets {
  readonly values: readonly string[];
  /** Whole URLs that hold a secret, each with the form that may be shown. */
  readonly urls: readonly { readonly url: string; readonly masked: string }[];
}

export const MASK = "***";
export const MIN_SECRET_LENGTH = 6;
export const ROTATED_KEPT = 16;

export function createRedactor(): Redactor {
  /** How many know a text; those that are added for good are never fewer. */
  const replacements = new Map<string, { readonly replacement: string; holders: number }>();
  const rotated = new Map<string, { readonly value: string; readonly forget: () => void }[]>();
  let ordered: (readonly [string, string])[] | undefined;

  const add = (text: string, replacement: string) => {
    const held = replacements.get(text);
    if (held !== undefined) {
      held.holders++;
      return;
    }
    replacements.set(text, { replacement, holders: 1 });
    ordered = undefined;
  };

  const remove = (text: string) => {
    const held = replacements.get(text);
    if (held === undefined || --held.holders > 0) return;
    replacements.delete(text);
    ordered = undefined;
  };

  const learn = ({ values, urls }: Secrets) => {
    const texts = new Map<string, string>();
    for (const value of values) {
      if (value.length >= MIN_SECRET_LENGTH) for (const form of encodedForms(value)) texts.set(form, MASK);
    }
    for (const { url, masked } of urls) if (url !== masked && url !== "") texts.set(url, masked);
    for (const [text, replacement] of texts) add(text, replacement);
    let isForgotten = false;
    return () => {
      if (isForgotten) return;
      isForgotten = true;
      for (const text of texts.keys()) remove(text);
    };
  };

  return {
    addSecret: (value) => void learn({ values: [value], urls: [] }),
    addUrl: (url, masked) => void learn({ values: [], urls: [{ url, masked }] }),
    rotateSecret: (name, value) => {
      const known = rotated.get(name) ?? [];
      if (known.some((one) => one.value === value)) return;
      known.push({ value, forget: learn({ values: [value], urls: [] }) });
      if (known.length > ROTATED_KEPT) known.shift()?.forget();
      rotated.set(name, known);
    },
    learn,
    size: () => replacements.size,
    redact: (text) => {
      // Longest first: a secret may be part of a longer one, and a URL holds its own key.
      ordered ??= [...replacements]
        .map(([secret, { replacement }]) => [secret, replacement] as const)
        .sort(([left], [right]) => right.length - left.length);
      let result = text;
      for (const [secret, replacement] of ordered) {
        if (result.includes(secret)) result = result.replaceAll(secret, replacement);
      }
      return result;
    },
  };
}

function encodedForms(value: string): Set<string> {
  const forms = new Set([value, encodeURIComponent(value), encodeURI(value), JSON.stringify(value).slice(1, -1)]);
  const bytes = Buffer.from(value, "utf8");
  // A secret inside a longer base64 text starts at any of three bit offsets; only the characters it fully determines are
  // searched for. Basic authentication (`user:password`) is the case that matters.
  for (let offset = 0; offset < 3; offset++) {
    const padded = Buffer.concat([Buffer.alloc(offset), bytes])
      .toString("base64")
      .replace(/=+$/, "");
    const from = offset === 0 ? 0 : offset + 1;
    const to = Math.floor(((offset + bytes.length) * 8) / 6);
    const core = padded.slice(from, to);
    if (core.length >= MIN_SECRET_LENGTH) forms.add(core);
  }
  return forms;
}
