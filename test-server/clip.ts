import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

export interface ClipOptions {
  readonly seconds: number;
  /** `WIDTHxHEIGHT` */
  readonly size: string;
  readonly fps: number;
  /** Absent: as little as the picture needs. Given: noise, so that the encoder really spends it. */
  readonly bitrateKbit?: number;
}

/** A video file in a directory of its own, which the agent's policy can name as a file root. */
export interface Clip extends AsyncDisposable {
  readonly path: string;
  readonly directory: string;
}

/** Encodes once, so that any number of streams can copy it in a loop and cost next to nothing. */
export async function makeClip(options: ClipOptions): Promise<Clip> {
  const directory = await mkdtemp(join(tmpdir(), "sluice-clip-"));
  const path = join(directory, "clip.mp4");
  const { seconds, size, fps, bitrateKbit } = options;
  const rate = bitrateKbit === undefined ? [] : constantRate(bitrateKbit);
  const noise = bitrateKbit === undefined ? "" : ",noise=alls=100:allf=t";
  const source = `testsrc2=size=${size}:rate=${fps}:duration=${seconds}${noise}`;
  const encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", String(fps), ...rate];
  await promisify(execFile)("ffmpeg", ["-v", "error", "-nostdin", "-f", "lavfi", "-i", source, ...encoder, path]);
  return { path, directory, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) };
}

function constantRate(kbit: number): string[] {
  const rate = `${kbit}k`;
  return ["-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate];
}
