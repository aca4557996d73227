import { AppError } from "../base/errors.ts";
import { describeProblem } from "../contract/wire-event-problem.ts";
import { type Workload, workloadSchema } from "../contract/workload.ts";
import { parseWhole } from "./parse-values.ts";

export interface StreamFlags {
  readonly input?: string;
  readonly output?: readonly string[];
  readonly name?: string;
  readonly video?: string;
  readonly audio?: string;
  readonly size?: string;
  readonly fps?: string;
  readonly bitrate?: string;
  readonly loop?: boolean;
  readonly rtsp?: string;
  readonly preview?: boolean;
}

const BARE = ["copy", "none"];

/** A stream as the flags describe it. Throws `invalid` with the flag that is wrong. */
export function streamFromFlags(id: string, flags: StreamFlags): Workload {
  if (flags.input === undefined) throw lack("--input", "the address to read from, or a whole stream with --file");
  if (flags.output === undefined) throw lack("--output", "one or several addresses to send to");
  const figures = {
    ...(flags.size === undefined ? {} : { size: flags.size }),
    ...(flags.fps === undefined ? {} : { fps: parseWhole(flags.fps, { field: "--fps", min: 1, max: 240 }) }),
    ...(flags.bitrate === undefined
      ? {}
      : { bitrateKbit: parseWhole(flags.bitrate, { field: "--bitrate", min: 16, max: 400_000 }) }),
  };
  const isBare = flags.video === undefined || BARE.includes(flags.video);
  if (isBare && Object.keys(figures).length > 0) {
    throw lack("--video", "an encoder, because --size, --fps and --bitrate need one (for example libx264)");
  }
  const candidate = {
    kind: "stream",
    id,
    ...(flags.name === undefined ? {} : { name: flags.name }),
    spec: {
      input: {
        url: flags.input,
        ...(flags.loop === true ? { loop: true } : {}),
        ...(flags.rtsp === undefined ? {} : { rtspTransport: flags.rtsp }),
      },
      outputs: flags.output.map((url) => ({ url })),
      ...(flags.video === undefined ? {} : { video: isBare ? flags.video : { encoder: flags.video, ...figures } }),
      ...(flags.audio === undefined
        ? {}
        : { audio: BARE.includes(flags.audio) ? flags.audio : { encoder: flags.audio } }),
      ...(flags.preview === true ? { preview: {} } : {}),
    },
  };
  const parsed = workloadSchema.safeParse(candidate);
  if (parsed.success) return parsed.data;
  const problem = describeProblem(parsed.error, candidate);
  throw new AppError("invalid", `${flagFor(problem)}${problem}`, { field: problem.split(":")[0] ?? "" });
}

/** `spec.input.url` is what `--input` gave. */
function flagFor(problem: string): string {
  const [, part] = /^spec\.(input|output|video|audio)/.exec(problem) ?? [];
  return part === undefined ? "" : `--${part}: `;
}

function lack(flag: string, allowed: string): AppError {
  return new AppError("invalid", `${flag}: given nothing; allowed: ${allowed}`, { field: flag });
}
