import type { StreamUrl } from "../../../contract/stream-url.ts";

/** `test://bars?size=640x360&fps=25&tone=440`: a moving picture with a clock, and a tone (`tone=0`: no sound). */
export interface TestSource {
  readonly widthPixels: number;
  readonly heightPixels: number;
  readonly fps: number;
  /** 0: no audio track. */
  readonly toneHz: number;
}

export type ParsedTestSource =
  | { readonly ok: true; readonly source: TestSource }
  | { readonly ok: false; readonly problem: string };

const ALLOWED = "test://bars with size=WIDTHxHEIGHT (even, 16 to 4096), fps=1..120, tone=0..20000";

export function parseTestSource(url: StreamUrl): ParsedTestSource {
  const refused: ParsedTestSource = { ok: false, problem: `is no test source; allowed: ${ALLOWED}` };
  if (url.host !== "bars" || !["", "/"].includes(url.path) || url.port !== undefined || url.userinfo !== undefined) {
    return refused;
  }
  const query = new URLSearchParams(url.query);
  if ([...query.keys()].some((key) => !["size", "fps", "tone"].includes(key))) return refused;
  const size = /^(\d{2,4})x(\d{2,4})$/.exec(query.get("size") ?? "640x360");
  const widthPixels = Number(size?.[1]);
  const heightPixels = Number(size?.[2]);
  const fps = wholeNumber(query.get("fps") ?? "25");
  const toneHz = wholeNumber(query.get("tone") ?? "440");
  const isSide = (side: number) => side >= 16 && side <= 4096 && side % 2 === 0;
  if (!isSide(widthPixels) || !isSide(heightPixels)) return refused;
  if (!(fps >= 1 && fps <= 120) || !(toneHz >= 0 && toneHz <= 20_000)) return refused;
  return { ok: true, source: { widthPixels, heightPixels, fps, toneHz } };
}

/** The source as one lavfi graph: one input with two tracks cannot drift apart. */
export function testSourceGraph(source: TestSource): string {
  const video = `testsrc=size=${source.widthPixels}x${source.heightPixels}:rate=${source.fps}[out0]`;
  if (source.toneHz === 0) return video;
  return `${video};sine=frequency=${source.toneHz}:sample_rate=44100[out1]`;
}

function wholeNumber(text: string): number {
  return /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
}
