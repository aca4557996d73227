import { formatFingerprint } from "./format-fingerprint.ts";

/** What a person has to do once a hub runs for the first time. Pure. */
export function renderHubStart(started: {
  readonly url: string;
  readonly caSha256: string | undefined;
  readonly adminToken: string | undefined;
}): string {
  const { url, caSha256, adminToken } = started;
  const lines = [`Sluice hub: ${url}`];
  if (caSha256 !== undefined) lines.push(`Its authority's SHA-256: ${caSha256}`);
  if (adminToken === undefined) return `${lines.join("\n")}\n`;
  lines.push(
    "",
    "This admin token opens everything and is shown this once; keep it safe:",
    "",
    `  ${adminToken}`,
    "",
    "What to do next:",
    `  1. Open ${url}/ in a browser and paste the token, or on your machine, where the token is asked for:`,
    `     ${loginLine(url, caSha256)}`,
    "  2. Make a one-time token for a box: sluice box enrol-token create",
    "  3. On the box: sluice enrol <that token>",
    `  4. The API is described at ${url}/docs`,
  );
  return `${lines.join("\n")}\n`;
}

/** Ready to be pasted: the token never is an argument, which every user of the machine could read. */
function loginLine(url: string, caSha256: string | undefined): string {
  return `sluice login ${url}${caSha256 === undefined ? "" : ` --fingerprint ${formatFingerprint(caSha256)}`}`;
}
