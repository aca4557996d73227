/**
 * A program that behaves like `ffmpeg -nostdin -progress pipe:1`, and misbehaves where a real one cannot be made to.
 * Options it does not know are ignored, so it can stand where FFmpeg's own arguments are passed.
 *
 *   --progress MODE       advance (default) · freeze (blocks come, counters stand) · na (N/A values) · none
 *   --freeze-after-ms N   advance, then freeze
 *   --period-ms N         between progress blocks (500)
 *   --ignore-signals N    the first N SIGTERM or SIGINT do nothing; -1: all of them. Else the fourth ends it with 123
 *   --signals FILE        appends the name of every signal received, one a line
 *   --stderr-bytes N      writes N bytes of warning lines to standard error at the start
 *   --endless-line N      writes N bytes without a line end to standard error at the start
 *   --say TEXT            writes one line to standard error at the start
 *   --grandchild KIND     starts `sleep 300` with the same outputs: same (in our group) · own (in a session of its own)
 *   --exit CODE           the status at the end of --after-ms (0)
 *   --after-ms N          ends after N milliseconds (never)
 */
import { spawn } from "node:child_process";
import { appendFileSync, writeSync } from "node:fs";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  strict: false,
  options: Object.fromEntries(
    [
      "progress",
      "freeze-after-ms",
      "period-ms",
      "ignore-signals",
      "signals",
      "stderr-bytes",
      "endless-line",
      "say",
      "grandchild",
      "exit",
      "after-ms",
    ].map((name) => [name, { type: "string" as const }]),
  ),
});

function text(name: string): string | undefined {
  const value = values[name];
  return typeof value === "string" ? value : undefined;
}

function number(name: string, fallback: number): number {
  const value = Number(text(name) ?? fallback);
  return Number.isFinite(value) ? value : fallback;
}

const STDOUT = 1;
const STDERR = 2;
const BYTES_A_FRAME = 2500;
const FRAMES_A_SECOND = 25;

const mode = text("progress") ?? "advance";
const periodMs = number("period-ms", 500);
const freezeAfterMs = number("freeze-after-ms", Number.POSITIVE_INFINITY);
const startedAtMs = performance.now();

function mediaSeconds(): number {
  const elapsedMs = performance.now() - startedAtMs;
  return mode === "freeze" ? 1 : Math.min(elapsedMs, freezeAfterMs) / 1000;
}

function progressBlock(word: "continue" | "end"): string {
  const seconds = mediaSeconds();
  const frames = Math.floor(seconds * FRAMES_A_SECOND);
  const isUnknown = mode === "na";
  const micros = Math.floor(seconds * 1_000_000);
  return [
    `frame=${frames}`,
    "fps=25.00",
    "stream_0_0_q=23.0",
    `bitrate=${isUnknown ? "N/A" : " 500.0kbits/s"}`,
    `total_size=${isUnknown ? "N/A" : frames * BYTES_A_FRAME}`,
    `out_time_us=${isUnknown ? "N/A" : micros}`,
    `out_time_ms=${isUnknown ? "N/A" : micros}`,
    `out_time=${isUnknown ? "N/A" : new Date(seconds * 1000).toISOString().slice(11, 23)}000`,
    "dup_frames=0",
    "drop_frames=0",
    `speed=${isUnknown ? "N/A" : "1x"}`,
    `progress=${word}`,
    "",
  ].join("\n");
}

function end(code: number): never {
  if (mode !== "none") writeSync(STDOUT, progressBlock("end"));
  process.exit(code);
}

/** FFmpeg gives up its trailer at the fourth. */
const PATIENCE_SIGNALS = 3;
let signalsToIgnore = number("ignore-signals", 0);
let received = 0;
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.on(signal, () => {
    const record = text("signals");
    if (record !== undefined) appendFileSync(record, `${signal}\n`);
    received += 1;
    if (signalsToIgnore >= 0 && received > PATIENCE_SIGNALS) process.exit(123);
    if (signalsToIgnore === 0) {
      writeSync(STDERR, `Exiting normally, received signal ${signal === "SIGTERM" ? 15 : 2}.\n`);
      end(255);
    }
    if (signalsToIgnore > 0) signalsToIgnore -= 1;
  });
}

const said = text("say");
if (said !== undefined) writeSync(STDERR, `${said}\n`);

let leftBytes = number("stderr-bytes", 0);
for (let count = 1; leftBytes > 0; count++) {
  const line = `[mp4 @ 0x55d0c0de] Non-monotonous DTS in output stream 0:0; previous: ${count}, current: ${count - 1}\n`;
  leftBytes -= writeSync(STDERR, line);
}

const endlessBytes = number("endless-line", 0);
for (let written = 0; written < endlessBytes; ) {
  written += writeSync(STDERR, "x".repeat(Math.min(65_536, endlessBytes - written)));
}

const grandchild = text("grandchild");
if (grandchild !== undefined) {
  spawn("sleep", ["300"], { stdio: "inherit", detached: grandchild === "own" }).unref();
}

if (mode !== "none") {
  writeSync(STDOUT, progressBlock("continue"));
  setInterval(() => writeSync(STDOUT, progressBlock("continue")), periodMs);
} else {
  setInterval(() => undefined, 60_000);
}
const afterMs = number("after-ms", Number.POSITIVE_INFINITY);
if (Number.isFinite(afterMs)) setTimeout(() => end(number("exit", 0)), afterMs);
