import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { test as base, describe, expect } from "vitest";
import { freePort } from "../../../../test-server/free-port.ts";
import { systemClock } from "../../../base/clock.ts";
import { createMemoryLog } from "../../../base/log.ts";
import { createRecordingPruner, pruneRecordings } from "./recording-pruner.ts";
import { systemStreamDisk } from "./stream-disk.ts";
import { createStreamWorld, eventually, SMALL_TEST, streamWorkload } from "./stream-world.fake.ts";

type World = ReturnType<typeof createStreamWorld>;

/** Each has a world of its own: they wait for media together. */
const test = base.extend("world", ({ task: _task }, { onCleanup }) => {
  const world = createStreamWorld();
  onCleanup(world.close);
  return world;
});

/** A short clip on the disk, the input of most tests. */
async function clip(world: World, name = "clip.mp4", ...args: string[]): Promise<string> {
  const path = join(world.directory, name);
  const source = ["-f", "lavfi", "-i", "testsrc=size=160x90:rate=10[out0];sine=frequency=440[out1]", "-t", "3"];
  const encode = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "10", "-c:a", "aac"];
  const child = await world.ffmpeg(...source, ...encode, ...args, "-y", path);
  expect(await child.exited).toEqual({ code: 0, signal: null });
  return path;
}

describe.concurrent("outputs", () => {
  test("a test source reaches an RTMP server with picture and sound", async ({ world }) => {
    const port = await freePort();
    const got = join(world.directory, "got.flv");
    const server = await world.ffmpeg(
      "-listen",
      "1",
      "-i",
      `rtmp://127.0.0.1:${port}/live/k`,
      "-c",
      "copy",
      "-t",
      "2",
      got,
    );
    await systemClock.delay(500);
    const stream = await world.start({ input: SMALL_TEST, outputs: [`rtmp://127.0.0.1:${port}/live/k`] });
    await server.exited;
    expect(await world.tracks(got)).toEqual(["aac", "h264"]);
    const sample = stream.probe.sample();
    expect(sample?.frames).toBeGreaterThan(5);
    expect(sample?.totalBytes).toBeGreaterThan(1000);
    stream.probe.close();
  });

  test("a file reaches an SRT listener as copies of its tracks", async ({ world }) => {
    const port = await freePort();
    const got = join(world.directory, "got.ts");
    const server = await world.ffmpeg("-i", `srt://127.0.0.1:${port}?mode=listener`, "-c", "copy", "-t", "2", got);
    await systemClock.delay(500);
    await world.start({ input: { url: await clip(world), loop: true }, outputs: [`srt://127.0.0.1:${port}`] });
    await server.exited;
    expect(await world.tracks(got)).toEqual(["aac", "h264"]);
  });

  test("a test source is pushed over RTSP", async ({ world }) => {
    const port = await freePort();
    const got = join(world.directory, "got.ts");
    const listen = ["-rtsp_flags", "listen", "-i", `rtsp://127.0.0.1:${port}/x`];
    const server = await world.ffmpeg(...listen, "-c", "copy", "-t", "2", got);
    await systemClock.delay(500);
    await world.start({ input: SMALL_TEST, outputs: [`rtsp://127.0.0.1:${port}/x`] });
    await server.exited;
    expect(await world.tracks(got)).toEqual(["aac", "h264"]);
  });

  test("MPEG-TS over UDP is sent by one stream and read by another", async ({ world }) => {
    const port = await freePort();
    const got = join(world.directory, "got.mkv");
    const receiver = await world.start({
      input: `udp://127.0.0.1:${port}`,
      outputs: [{ url: join(world.directory, "udp/") }],
    });
    const url = `udp://127.0.0.1:${port}`;
    const video = { encoder: "libx264", preset: "ultrafast", gopFrames: 10 };
    await world.start({ input: SMALL_TEST, video, outputs: [url] });
    await eventually(() => (receiver.probe.sample()?.frames ?? 0) > 10);
    receiver.signal("SIGTERM");
    expect(await receiver.exited).toEqual({ code: 255, signal: null });
    const [name = got] = readdirSync(join(world.directory, "udp"));
    expect(await world.tracks(join(world.directory, "udp", name))).toEqual(["aac", "h264"]);
  });

  test("HLS files appear, old ones are deleted, and a restart goes on where it was", async ({ world }) => {
    const url = join(world.directory, "hls/live.m3u8");
    const spec = {
      input: SMALL_TEST,
      video: { encoder: "libx264", preset: "ultrafast", gopFrames: 5 },
      outputs: [{ url, segmentSeconds: 0.5, keepSegments: 3 }],
    };
    const first = await world.start(spec);
    await eventually(() => existsSync(join(world.directory, "hls/live4.ts")));
    first.signal("SIGTERM");
    await first.exited;
    await world.start(spec);
    await eventually(() => existsSync(join(world.directory, "hls/live9.ts")));
    const segments = readdirSync(join(world.directory, "hls")).filter((name) => name.endsWith(".ts"));
    expect(segments.length).toBeLessThanOrEqual(6);
    expect(segments).not.toContain("live0.ts");
    expect(await world.tracks(url)).toEqual(["aac", "h264"]);
  });

  test("HLS is put on a web server and read from it again", async ({ world }) => {
    const stored = new Map<string, Buffer>();
    const server = createServer((request, response) => {
      const path = request.url ?? "";
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        if (request.method === "PUT") stored.set(path, Buffer.concat(chunks));
        if (request.method === "DELETE") stored.delete(path);
        const body = stored.get(path);
        response.statusCode = body === undefined && request.method === "GET" ? 404 : 200;
        response.end(request.method === "GET" ? body : undefined);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      const url = `http://127.0.0.1:${port}/live/a.m3u8`;
      const video = { encoder: "libx264", preset: "ultrafast", gopFrames: 10 };
      await world.start({ input: SMALL_TEST, video, outputs: [{ url, segmentSeconds: 1 }] });
      await eventually(() => (stored.get("/live/a.m3u8")?.toString() ?? "").split(".ts").length > 3);
      const reader = await world.start({ input: url, outputs: [join(world.directory, "web/")] });
      await eventually(() => (reader.probe.sample()?.frames ?? 0) > 5);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });

  test("recordings rotate, and the newest stay while the oldest go", async ({ world }) => {
    const url = join(world.directory, "rec/cam.mkv");
    const spec = {
      input: SMALL_TEST,
      video: { encoder: "libx264", preset: "ultrafast", gopFrames: 5 },
      outputs: [{ url, segmentSeconds: 1, keepSegments: 2 }],
    };
    const stream = await world.start(spec);
    const list = () => readdirSync(join(world.directory, "rec")).sort();
    const all = await eventually(() => (list().length >= 5 ? list() : undefined));
    const stop = new AbortController();
    const pruner = createRecordingPruner(
      { intervalMs: 60_000 },
      { workloads: () => [stream.workload], disk: systemStreamDisk, clock: systemClock, log: createMemoryLog() },
    );
    const pruned = pruner.run(stop.signal);
    stop.abort();
    await pruned;
    stream.signal("SIGTERM");
    await stream.exited;
    expect(list()).not.toContain(all[0]);
    expect(list()).toContain(all.at(-1));
    expect(list().length).toBeLessThanOrEqual(4);
    expect(pruneRecordings(streamWorkload(spec).spec, systemStreamDisk)).toBeLessThanOrEqual(1);
    expect(await world.tracks(join(world.directory, "rec", list()[0] ?? ""))).toEqual(["aac", "h264"]);
  });
});

describe.concurrent("inputs", () => {
  const source = ["-re", "-f", "lavfi", "-i", "testsrc=size=160x90:rate=10[out0];sine=frequency=440[out1]"];
  const encode = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "5", "-c:a", "aac"];

  test.for([
    ["RTMP", ["-f", "flv", "-listen", "1"], (port: number) => `rtmp://127.0.0.1:${port}/live/k`, ""],
    ["SRT", ["-f", "mpegts"], (port: number) => `srt://127.0.0.1:${port}`, "?mode=listener"],
    ["RTP", ["-f", "rtp_mpegts"], (port: number) => `rtp://127.0.0.1:${port}`, ""],
    ["MPEG-TS over HTTP", ["-f", "mpegts", "-listen", "1"], (port: number) => `http://127.0.0.1:${port}/a.ts`, ""],
  ] as const)("%s is read and copied", async ([_name, serve, urlOf, listen], { world }) => {
    const port = await freePort();
    await world.ffmpeg(...source, ...encode, ...serve, `${urlOf(port)}${listen}`);
    await systemClock.delay(700);
    const stream = await world.start({ input: urlOf(port), outputs: [join(world.directory, "in/")] });
    await eventually(() => (stream.probe.sample()?.frames ?? 0) > 5);
    stream.signal("SIGTERM");
    expect((await stream.exited).code).toBe(255);
    const [name = ""] = readdirSync(join(world.directory, "in"));
    expect(await world.tracks(join(world.directory, "in", name))).toEqual(["aac", "h264"]);
  });

  test("an RTSP input that nobody serves ends with a network verdict", async ({ world }) => {
    const port = await freePort();
    const refused = await world.start({ input: `rtsp://127.0.0.1:${port}/x`, outputs: [join(world.directory, "in/")] });
    const exit = { ...(await refused.exited), isAdopted: false, atMonotonicMs: 0 };
    expect(world.driver.classifyExit(exit, refused.stderr(), refused.workload)).toMatchObject({ class: "network" });
  });

  test("a playlist in a file root is not followed to other files", async ({ world }) => {
    const playlist = join(world.directory, "trick.mp4");
    writeFileSync(playlist, `ffconcat version 1.0\nfile '${await clip(world)}'\n`);
    const stream = await world.start({ input: playlist, outputs: [join(world.directory, "in/")] });
    expect((await stream.exited).code).toBe(1);
    expect(stream.stderr().join("\n")).toContain("not on whitelist");
  });
});

describe.concurrent("several outputs", () => {
  test("a follower that nobody answers disturbs neither the leader nor the other follower", async ({ world }) => {
    const port = await freePort();
    const stream = await world.start({
      input: SMALL_TEST,
      outputs: [
        join(world.directory, "lead/"),
        `rtmp://127.0.0.1:${port}/live/secret-key|]x`.replace("|", "%7C"),
        join(world.directory, "it's: a|[b].mp4"),
      ],
    });
    await eventually(() => stream.stderr().some((line) => line.includes("Connection refused")));
    await eventually(() => (stream.probe.sample()?.outTimeUs ?? 0) > 3_000_000);
    stream.signal("SIGTERM");
    expect(await stream.exited).toEqual({ code: 255, signal: null });
    const follower = readdirSync(world.directory).find((name) => name.startsWith("it's: a|[b]-")) ?? "";
    expect(await world.tracks(join(world.directory, follower))).toEqual(["aac", "h264"]);
    const [lead = ""] = readdirSync(join(world.directory, "lead"));
    expect(await world.tracks(join(world.directory, "lead", lead))).toEqual(["aac", "h264"]);
  });

  test("a follower that comes up later is reached without a restart", async ({ world }) => {
    const port = await freePort();
    const url = `rtmp://127.0.0.1:${port}/live/k`;
    const got = join(world.directory, "got.flv");
    const stream = await world.start({ input: SMALL_TEST, outputs: [join(world.directory, "lead/"), url] });
    await eventually(() => stream.stderr().some((line) => line.includes("Connection refused")));
    const server = await world.ffmpeg("-listen", "1", "-i", url, "-c", "copy", "-t", "1", got);
    await server.exited;
    expect(await world.tracks(got)).toEqual(["aac", "h264"]);
  });

  test("a leader that nobody answers ends the process with a network verdict", async ({ world }) => {
    const port = await freePort();
    const outputs = [`rtmp://127.0.0.1:${port}/live/k`, join(world.directory, "rec/")];
    const stream = await world.start({ input: SMALL_TEST, outputs });
    const exit = { ...(await stream.exited), isAdopted: false, atMonotonicMs: 0 };
    expect(exit.code).toBe(1);
    expect(world.driver.classifyExit(exit, stream.stderr(), stream.workload)).toMatchObject({ class: "network" });
  });
});

describe.concurrent("sound and picture", () => {
  test("a silent track is added where the input has none and the output needs one", async ({ world }) => {
    const silent = await clip(world, "silent.mp4", "-an");
    const output = (name: string) => [{ url: join(world.directory, `${name}/`), needsAudio: true }];
    const copied = await world.start({ input: silent, outputs: output("copied") });
    expect(await copied.exited).toEqual({ code: 0, signal: null });
    const [name = ""] = readdirSync(join(world.directory, "copied"));
    expect(await world.tracks(join(world.directory, "copied", name))).toEqual(["aac", "h264"]);
    expect(
      world.driver.classifyExit({ code: 0, signal: null, isAdopted: false, atMonotonicMs: 0 }, [], copied.workload),
    ).toEqual({ class: "finished", retry: "long" });
  });

  test("a preview picture is written and renewed while the stream is only copied", async ({ world }) => {
    const stream = await world.start({
      input: { url: await clip(world), loop: true },
      outputs: [join(world.directory, "rec/")],
      preview: { everySeconds: 1, widthPixels: 80 },
    });
    const inode = () => (existsSync(world.files.previewPath) ? statSync(world.files.previewPath).ino : undefined);
    const first = await eventually(inode);
    await eventually(() => inode() !== undefined && inode() !== first);
    expect(await world.tracks(world.files.previewPath)).toEqual(["mjpeg"]);
    const sample = stream.probe.sample();
    expect((sample?.outTimeUs ?? 0) / 1e6).toBeLessThan((sample?.frames ?? 0) / 10 + 1);
  });

  test("a preview that cannot be written costs the picture and not the stream", async ({ world }) => {
    mkdirSync(world.files.previewPath);
    const stream = await world.start({
      input: SMALL_TEST,
      outputs: [join(world.directory, "rec/")],
      preview: { everySeconds: 1 },
    });
    await eventually(() => (stream.probe.sample()?.frames ?? 0) > 30);
  });

  test("an encoder changes size, rate and codec", async ({ world }) => {
    const stream = await world.start({
      input: await clip(world),
      outputs: [join(world.directory, "small/")],
      video: { encoder: "libx264", size: "80x48", fps: 5, bitrateKbit: 100, gopFrames: 5 },
      audio: "none",
    });
    await stream.exited;
    const [name = ""] = readdirSync(join(world.directory, "small"));
    const path = join(world.directory, "small", name);
    const args = ["-v", "error", "-show_entries", "stream=width,height,r_frame_rate", "-of", "csv=p=0", path];
    const shown = await world.runProgram("ffprobe", args, { timeoutMs: 5000, maxOutputBytes: 1000 });
    expect(shown.stdout.trim()).toBe("80,48,5/1");
  });
});

describe.concurrent("prepare", () => {
  const prepare = (world: World, spec: unknown) =>
    world.driver.prepare(streamWorkload(spec), world.files, AbortSignal.timeout(15_000));

  test("an encoder that this FFmpeg lacks is refused by name", async ({ world }) => {
    const wanted = prepare(world, {
      input: SMALL_TEST,
      outputs: ["rtmp://h/a/k"],
      video: { encoder: "h264_imaginary" },
    });
    await expect(wanted).rejects.toMatchObject({ code: "invalid", field: "video.encoder" });
    await expect(wanted).rejects.toThrow("h264_imaginary");
  });

  test("an input that does not answer is no guess about its sound but a reason to try again", async ({ world }) => {
    const port = await freePort();
    const wanted = prepare(world, {
      input: `rtmp://127.0.0.1:${port}/a/b`,
      outputs: [{ url: "rtmp://h/a/k", needsAudio: true }],
    });
    await expect(wanted).rejects.toMatchObject({ code: "unavailable", field: "input.url" });
  });
});
