/**
 * Knows the exact secrets of this process and takes them out of text: plain, percent-encoded, as JSON writes them and in
 * base64. Whole URLs that hold a secret are replaced by their masked form first, so that even a short key does not show.
 */
export interface Redactor {
  /** Replaces `value` wherever it appears. Values shorter than `MIN_SECRET_LENGTH` would blank ordinary words: ignored. */
  addSecret(value: string): void;
  /** Replaces the exact text `url` by `masked`. Any length. */
  addUrl(url: string, masked: string): void;
  redact(text: string): string;
}

export const MASK = "***";
export const MIN_SECRET_LENGTH = 6;

export function createRedactor(): Redactor {
  const replacements = new Map<string, string>();
  let ordered: (readonly [string, string])[] | undefined;

  const add = (text: string, replacement: string) => {
    if (replacements.get(text) === replacement) return;
    replacements.set(text, replacement);
    ordered = undefined;
  };

  return {
    addSecret: (value) => {
      if (value.length < MIN_SECRET_LENGTH) return;
      for (const form of encodedForms(value)) add(form, MASK);
    },
    addUrl: (url, masked) => {
      if (url !== masked && url !== "") add(url, masked);
    },
    redact: (text) => {
      // Longest first: a secret may be part of a longer one, and a URL holds its own key.
      ordered ??= [...replacements].sort(([left], [right]) => right.length - left.length);
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
