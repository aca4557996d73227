import { pageHeaders } from "./security-headers.ts";

/** What plays one live picture, alone in its frame. The dashboard tells it which one through `window.picture`. */
export const PICTURE_PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="color-scheme" content="light dark">
    <title>Live picture</title>
    <link rel="stylesheet" href="/shared/base.css">
    <link rel="stylesheet" href="/picture-frame.css">
    <script src="/vendor/mpegts/mpegts.js" defer></script>
    <script src="/picture-frame.js" type="module"></script>
  </head>
  <body></body>
</html>
`;

/** Of that page: what it may fetch comes from one place, and only pages of the hub may show it. `from` is an origin. */
export function pictureHeaders(from: string | undefined): Readonly<Record<string, string>> {
  return {
    ...pageHeaders({ connect: from ?? "'none'", shownBy: "'self'" }),
    "x-frame-options": "SAMEORIGIN",
    "content-type": "text/html; charset=utf-8",
    "content-length": String(Buffer.byteLength(PICTURE_PAGE)),
  };
}
