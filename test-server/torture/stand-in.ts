import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What the agent asks FFmpeg before the first stream. */
const QUESTIONS = [["-version"], ["-encoders"], ["-protocols"], ["-muxers"], ["-h", "demuxer=rtsp"]] as const;

/**
 * A real program in FFmpeg's place: told to stream, it becomes `command`; asked what it can do, it answers with what the
 * real FFmpeg said once. Gives its path.
 */
export function makeStandIn(directory: string, command: string): string {
  const answers = join(directory, "answers");
  mkdirSync(answers);
  for (const question of QUESTIONS) {
    const text = execFileSync("ffmpeg", ["-hide_banner", ...question], { stdio: ["ignore", "pipe", "ignore"] });
    writeFileSync(join(answers, ["-hide_banner", ...question].join(" ").replace(/[^a-z]/g, "_")), text);
  }
  const path = join(directory, "stand-in.sh");
  const lookup = `case " $* " in *" -progress "*) ;; *) words="$*"; exec cat "${answers}/\${words//[^a-z]/_}" ;; esac`;
  writeFileSync(path, `#!/bin/bash\n${lookup}\n${command}\n`);
  chmodSync(path, 0o755);
  return path;
}
