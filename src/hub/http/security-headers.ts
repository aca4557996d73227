/** On every answer. No header allows another origin anything: pages of other sites cannot read the API. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
};

/** Of API answers: nothing in them is a page, and no cache may keep them. */
export const API_HEADERS: Readonly<Record<string, string>> = {
  ...SECURITY_HEADERS,
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
};

/**
 * Of pages of the dashboard: their own scripts and styles only, none of them inline. `connect`: what scripts may fetch from;
 * `shownBy`: which pages may show this one in a frame.
 */
export function pageHeaders({ connect, shownBy }: { readonly connect: string; readonly shownBy: string }) {
  return {
    ...SECURITY_HEADERS,
    "cache-control": "no-cache",
    "content-security-policy": [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "img-src 'self' data:",
      "media-src 'self' blob:",
      `connect-src ${connect}`,
      "frame-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      `frame-ancestors ${shownBy}`,
    ].join("; "),
  };
}

/** The dashboard itself talks to its hub alone. Live pictures come from elsewhere, each into a frame with a policy of its own. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = pageHeaders({ connect: "'self'", shownBy: "'none'" });

/** Of the API page, which styles its parts inline. */
export const API_PAGE_HEADERS: Readonly<Record<string, string>> = {
  ...SECURITY_HEADERS,
  "cache-control": "no-cache",
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    "font-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
};
