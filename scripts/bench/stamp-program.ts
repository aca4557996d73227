import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Lab } from "./lab.ts";

/** One start of the program, in its own words. */
export interface Stamp {
  /** Wall clock, with microseconds after the point. */
  readonly wallMs: number;
  readonly pid: number;
}

/** A program whose first act is to write down the time; then it sleeps under the same PID. */
export interface StampProgram {
  readonly path: string;
  stamps(): readonly Stamp[];
  /** Resolves with all stamps once there are `count` of them. */
  until(count: number, timeoutMs?: number): Promise<readonly Stamp[]>;
  /** What the next start of it does after its stamp. */
  change(ending: string): void;
  /** Kills the process and resolves once the program has been started again. */
  killAndAwait(pid: number): Promise<KilledStamp>;
}

export interface KilledStamp {
  /** Monotonic. */
  readonly killedAtMs: number;
  /** From the kill to the first instruction of the next. */
  readonly waitMs: number;
}

export interface StampProgramOptions {
  /** Asked for anything but a stream, the program is that FFmpeg. */
  readonly ffmpegPath?: string;
  /** What it does when it has written its stamp, in bash; it sleeps unless told. */
  readonly ending?: string;
}

export function createStampProgram(lab: Lab, name: string, options: StampProgramOptions = {}): StampProgram {
  const { ffmpegPath, ending = "exec sleep 100000" } = options;
  const path = join(lab.directory, `${name}.sh`);
  const stampPath = join(lab.directory, `${name}.stamps`);
  const lookup =
    ffmpegPath === undefined ? "" : `case " $* " in *" -progress "*) ;; *) exec ${ffmpegPath} "$@" ;; esac\n`;
  const write = (act: string) =>
    writeFileSync(path, `#!/bin/bash\nnow=$EPOCHREALTIME\n${lookup}echo "$now $$" >>${stampPath}\n${act}\n`);
  write(ending);
  chmodSync(path, 0o755);
  writeFileSync(stampPath, "");

  const stamps = (): Stamp[] =>
    readFileSync(stampPath, "utf8")
      .split("\n")
      .flatMap((line) => {
        const [seconds, pid] = line.split(" ");
        return seconds === undefined || pid === undefined ? [] : [{ wallMs: Number(seconds) * 1000, pid: Number(pid) }];
      });

  const until: StampProgram["until"] = async (count, timeoutMs = 20_000) => {
    await lab.until(() => stamps().length >= count, `${count} starts of ${name}`, { timeoutMs, pollMs: 4 });
    return stamps();
  };

  return {
    path,
    stamps,
    until,
    change: write,
    killAndAwait: async (pid) => {
      const before = stamps().length;
      const killedMs = awaitWallEdgeMs();
      const killedAtMs = performance.now();
      process.kill(pid, "SIGKILL");
      const next = (await until(before + 1))[before];
      return { killedAtMs, waitMs: (next?.wallMs ?? Number.NaN) - killedMs };
    },
  };
}

/**
 * Spins, for a millisecond at most, until the wall clock shows its next one: at that instant its value is exact, and can be
 * compared with the microseconds that a stamp has.
 */
export function awaitWallEdgeMs(): number {
  const before = Date.now();
  for (;;) {
    const now = Date.now();
    if (now !== before) return now;
  }
}
