import { createHash } from "node:crypto";
import { parseRecordingPath } from "../../../contract/recording-name.ts";
import { maskUrl } from "../../../contract/stream-secrets.ts";
import type { StreamSpec } from "../../../contract/stream-spec.ts";
import { parseStreamUrl, type StreamUrl } from "../../../contract/stream-url.ts";
import type { Claim, ClaimKind } from "../driver.ts";
import { outputKindOf } from "./output-kind.ts";
import { isHostMatch } from "./stream-admission.ts";

const DEFAULT_PORTS: Readonly<Record<string, number>> = {
  rtmp: 1935,
  rtmps: 443,
  rtsp: 554,
  rtsps: 322,
  http: 80,
  https: 443,
};
/** 224.0.0.0/4 and ff00::/8: any number of readers may join. */
const MULTICAST = /^(?:22[4-9]|23\d)\.|^ff[0-9a-f]{2}:/;
/** Formats of FFmpeg whose input is a device of this box. */
const DEVICE_FORMATS = new Set(["v4l2", "video4linux2", "alsa", "pulse", "oss", "fbdev", "kmsgrab", "decklink"]);

/**
 * What a stream uses that may not serve two at a time. Follows from the spec (and from which hosts the box calls exclusive)
 * alone: URLs in one form each, without what only says who asks, so that two spellings of one place are one place.
 */
export function streamClaims(spec: StreamSpec, policy: { readonly exclusiveInputs: readonly string[] }): Claim[] {
  const claims = [
    ...inputClaims(spec, policy.exclusiveInputs),
    ...deviceClaims(spec.rawArguments?.input ?? []),
    ...spec.outputs.flatMap(({ url }) => outputClaims(url)),
  ];
  return [...new Map(claims.map((claim) => [claim.key, claim])).values()];
}

function inputClaims({ input }: StreamSpec, exclusiveHosts: readonly string[]): Claim[] {
  const parsed = parseStreamUrl(input.url);
  if (!parsed.ok) return [];
  const { url } = parsed;
  const label = maskUrl(input.url, "input");
  switch (url.scheme) {
    case "test":
      return [];
    case "file":
      return url.path.startsWith("/dev/") ? [claim("device", url.path, url.path)] : [];
    case "udp":
    case "rtp":
      return MULTICAST.test(url.host) ? [] : [claim("port", `udp ${url.port ?? ""}`, label)];
    case "srt":
      if (isListener(url)) return [claim("port", `udp ${url.port ?? ""}`, label)];
  }
  const isExclusive = input.exclusive === true || exclusiveHosts.some((pattern) => isHostMatch(pattern, url.host));
  // The query of a camera names its channel.
  return [{ ...claim("camera", `${placeOf(url)}?${url.query}`, label), isExclusive }];
}

function outputClaims(text: string): Claim[] {
  const parsed = parseStreamUrl(text);
  if (!parsed.ok) return [];
  const { url } = parsed;
  const label = maskUrl(text, "output");
  switch (outputKindOf(url)) {
    case "recording": {
      const recording = parseRecordingPath(url.path);
      if (!recording.ok) return [];
      return [claim("file", `${recording.recording.directory}/${recording.recording.pattern}`, label)];
    }
    case "hls-files":
      return [claim("file", url.path, label)];
    case "srt": {
      if (isListener(url)) return [claim("port", `udp ${url.port ?? ""}`, label)];
      const streamId = /(?:^|&)(?:srt_)?streamid=([^&]*)/.exec(url.query)?.[1] ?? "";
      return [claim("publishing point", `${placeOf(url)}?${streamId}`, label)];
    }
    case undefined:
      return [];
    default:
      return [claim("publishing point", placeOf(url), label)];
  }
}

/** Raw arguments may open a device: `-f v4l2 -i /dev/video0`. */
function deviceClaims(args: readonly string[]): Claim[] {
  const claims: Claim[] = [];
  let format = "";
  for (const [index, argument] of args.entries()) {
    const value = args[index + 1] ?? "";
    if (argument === "-f") format = value;
    if (argument !== "-i") continue;
    if (DEVICE_FORMATS.has(format) || value.startsWith("/dev/")) claims.push(claim("device", value, value));
    format = "";
  }
  return claims;
}

/** Host, port and path. Encryption, users and queries say how and by whom it is reached, not what it is. */
function placeOf({ scheme, host, port, path }: StreamUrl): string {
  const family = scheme.replace(/^(rtmp|rtsp|http)s$/, "$1");
  return `${family} ${host}:${port ?? DEFAULT_PORTS[scheme] ?? ""}${path.replace(/\/+$/, "")}`;
}

function isListener({ query, host }: StreamUrl): boolean {
  return /(?:^|&)mode=listener(?:&|$)/.test(query) || host === "";
}

function claim(kind: ClaimKind, place: string, label: string): Claim {
  const hash = createHash("sha256").update(place).digest("hex").slice(0, 20);
  return { key: `${kind}:${hash}`, kind, label, isExclusive: true };
}
