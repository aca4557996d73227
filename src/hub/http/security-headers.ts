/** On every answer. No header allows another origin anything: pages of other sites cannot read the API. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
};

export interface PagePolicy {
  readonly connect: string;
  readonly shownBy: string;
  readonly style?: string;
}

/** Of API answers: nothing in them is a page, and no cache may keep them. */
export const API_HEADERS: Readonly<Record<string, string>> = {
  ...SECURITY_HEADERS,
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
};

/**
 * Of pages of the dashboard: their own scripts and styles only, none of them inline unless `style` says so. `connect`: what
 * scripts may fetch from; `shownBy`: which pages may show this one in a frame.
 */
export function pageHeaders({ connect, shownBy, style = "'self'" }: PagePolicy) {
  return {
    ...SECURITY_HEADERS,
    "cache-control": "no-cache",
    "content-security-policy": [
      "default-src 'none'",
      "script-src 'self'",
      `style-src ${style}`,
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

/** The page of the dashboard that shows a terminal, in a frame. */
export const TERMINAL_FRAME = "/terminal-frame.html";
/** Of that page: what draws the terminal writes its styles inline, and so stands apart from the page that holds the token. It fetches nothing. */
export const TERMINAL_FRAME_HEADERS: Readonly<Record<string, string>> = {
  ...pageHeaders({ connect: "'none'", shownBy: "'self'", style: "'self' 'unsafe-inline'" }),
  "x-frame-options": "SAMEORIGIN",
};

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
