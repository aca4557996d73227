import { expect, test } from "vitest";
import { AppError } from "../../../base/errors.ts";
import type { RunProgram } from "../../../base/spawn.ts";
import { systemStreamDisk } from "./stream-disk.ts";
import { createStreamDriver, STREAM_STOP_LADDER } from "./stream-driver.ts";
import { OPEN_POLICY, streamWorkload } from "./stream-world.fake.ts";

const nothingRuns: RunProgram = () =>
  Promise.reject(new AppError("not-found", "cannot start ffmpeg (ENOENT): no such program"));
const driver = createStreamDriver(
  {
    streams: { ffmpegPath: "ffmpeg", ffprobePath: "ffprobe", startDeadlineMs: 20_000, update: "auto" },
    policy: OPEN_POLICY,
  },
  { runProgram: nothingRuns, disk: systemStreamDisk },
);
const FILES = { directory: "/x", progressPath: "/x/p", rawOutputPath: "/x/o", logPath: "/x/l", previewPath: "/x/j" };

test("the stop ladder ends with SIGKILL to the group within ten seconds, and never sends a fourth catchable signal", () => {
  expect(STREAM_STOP_LADDER.filter(({ signal }) => signal !== "SIGKILL").length).toBeLessThan(4);
  expect(STREAM_STOP_LADDER.at(-1)).toMatchObject({ signal: "SIGKILL", toGroup: true });
  expect(STREAM_STOP_LADDER.reduce((sum, { graceMs }) => sum + graceMs, 0)).toBeLessThanOrEqual(10_000);
});

test("a stream is described without its secrets", () => {
  const workload = streamWorkload({ input: "rtsp://a:b@cam/1", outputs: ["rtmp://h/live/key", "srt://h:9"] });
  expect(driver.describe(workload)).toBe("rtsp://a:***@cam/1 → rtmp://h/live/***, srt://h:9");
});

test("how a stream is handled is no part of what it is", () => {
  const workload = streamWorkload({ input: { url: "rtsp://cam/1" }, outputs: ["srt://h:9"] });
  const handled = streamWorkload({
    input: { url: "rtsp://cam/1", exclusive: true },
    outputs: ["srt://h:9"],
    update: "replace",
  });
  expect(driver.specHash(handled)).toBe(driver.specHash(workload));
  expect([driver.mayOverlap(workload), driver.mayOverlap(handled)]).toEqual([true, false]);
});

test("a missing FFmpeg is said to be missing", async () => {
  const workload = streamWorkload({ input: "test://bars", outputs: ["srt://h:9"] });
  await expect(driver.prepare(workload, FILES, AbortSignal.timeout(1000))).rejects.toMatchObject({ code: "not-found" });
});

test("what is not admitted is not prepared either", async () => {
  const workload = streamWorkload({ input: "/etc/passwd", outputs: ["srt://h:9"] });
  expect(driver.admit(workload)).toMatchObject({ rule: "policy.fileRoots" });
  await expect(driver.prepare(workload, FILES, AbortSignal.timeout(1000))).rejects.toMatchObject({
    code: "refused",
    field: "policy.fileRoots",
  });
});

test("launches that come together ask FFmpeg once what it can do", async () => {
  const asked: string[] = [];
  const answers: RunProgram = (_file, args) => {
    asked.push(args.slice(1).join(" "));
    const stdout = "ffmpeg version 7.1\n ------\n V....D libx264  H.264\n A....D aac  AAC\n";
    return Promise.resolve({ code: 0, signal: null, stdout, stderr: "", timedOut: false });
  };
  const counted = createStreamDriver(
    {
      streams: { ffmpegPath: "ffmpeg", ffprobePath: "ffprobe", startDeadlineMs: 20_000, update: "auto" },
      policy: OPEN_POLICY,
    },
    { runProgram: answers, disk: systemStreamDisk },
  );
  const prepare = (host: string) =>
    counted.prepare(
      streamWorkload({ input: "test://bars", outputs: [`srt://${host}:9`] }),
      FILES,
      AbortSignal.timeout(1000),
    );
  await Promise.all(["a", "b", "c"].map(prepare));
  await prepare("d");
  expect(asked.sort()).toEqual(["-encoders", "-h demuxer=rtsp", "-muxers", "-protocols", "-version"]);
});
