/** Why an attempt to connect, or the connection it led to, is over. */
export type AttemptEnd =
  /** An answer that is not 200. `retryAfterMs` as the server asked, not yet clamped; `problem`: what a hub said in its body. */
  | {
      readonly kind: "status";
      readonly status: number;
      readonly retryAfterMs: number | undefined;
      readonly problem?: string | undefined;
    }
  /** 200 with something else than an event stream. */
  | { readonly kind: "not-a-stream"; readonly contentType: string }
  /** The server closed an event stream in an orderly way. */
  | { readonly kind: "ended" }
  | { readonly kind: "silent"; readonly limitMs: number }
  /** No answer's headers within the limit. */
  | { readonly kind: "timeout"; readonly limitMs: number }
  /** The dial or the stream broke. */
  | { readonly kind: "failed"; readonly message: string }
  /** We hung up, to ask for a fresh snapshot. */
  | { readonly kind: "asked"; readonly message: string };

/** Statuses that no quick repetition changes, each with what a person should look at. */
export const LONG_WAIT_STATUSES: ReadonlyMap<number, string> = new Map([
  [204, "the server asks for no more attempts"],
  [401, "the token is missing or not accepted"],
  [403, "the token does not allow this"],
  [404, "no such address; wrong endpoint or box id?"],
  [410, "the address is gone for good"],
]);

export function describeEnd(end: AttemptEnd): string {
  switch (end.kind) {
    case "status": {
      const meaning = end.problem ?? LONG_WAIT_STATUSES.get(end.status);
      return `HTTP ${end.status}${meaning === undefined ? "" : `: ${meaning}`}`;
    }
    case "not-a-stream":
      if (/^\s*text\/html\b/i.test(end.contentType)) return "an HTML page came: captive portal or wrong address?";
      return `expected text/event-stream, given ${describeContentType(end.contentType)}`;
    case "ended":
      return "closed by the server";
    case "silent":
      return `no byte for ${end.limitMs / 1000} s`;
    case "timeout":
      return `no answer within ${end.limitMs / 1000} s`;
    case "failed":
    case "asked":
      return end.message;
  }
}

function describeContentType(contentType: string): string {
  const essence = contentType.split(";")[0]?.trim() ?? "";
  return essence === "" ? "no content type" : essence.slice(0, 60);
}
