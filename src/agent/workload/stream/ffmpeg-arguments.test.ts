import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { streamSpecSchema } from "../../../contract/stream-spec.ts";
import { ffmpegArguments } from "./ffmpeg-arguments.ts";
import { silenceDecision } from "./silent-audio.ts";
import { admitStream } from "./stream-admission.ts";
import { OPEN_POLICY } from "./stream-world.fake.ts";

const DISK = { realpath: (path: string) => (path.startsWith("/srv") ? path : undefined), hasEntry: () => false };
const DIALECT = { rtspTimeoutOption: "timeout", hasStatsPeriod: true } as const;
const PREVIEW = "/run/sluice/preview.jpg";

function admitted(spec: unknown) {
  const parsed = streamSpecSchema.safeParse(spec);
  if (!parsed.success) return undefined;
  return admitStream(parsed.data, { ...OPEN_POLICY, fileRoots: ["/srv"] }, DISK).stream;
}

function argumentsOf(spec: unknown, more: { addSilence?: boolean; dialect?: typeof DIALECT } = {}): string[] {
  const stream = admitted(spec);
  if (stream === undefined) throw new RangeError("this spec is not admitted");
  return ffmpegArguments({
    stream,
    dialect: more.dialect ?? DIALECT,
    addSilence: more.addSilence ?? false,
    previewPath: PREVIEW,
  });
}
const lineOf = (...args: Parameters<typeof argumentsOf>) => argumentsOf(...args).join(" ");

const HEAD = "-nostdin -hide_banner -nostats -loglevel level+warning -progress pipe:1 -stats_period 1";
const LIVE = "-analyzeduration 3000000 -probesize 5000000";
const QUEUE = "-thread_queue_size 512";
const COPY = "-map 0:v:0? -map 0:a:0? -c:v copy -c:a copy -y";
const FLV = "-f flv -flvflags no_duration_filesize -rw_timeout 10000000 rtmp://h/live/k";

describe("inputs", () => {
  test.each([
    [
      "rtsp://c/1",
      `-protocol_whitelist rtsp,rtp,srtp,udp,tcp,tls -rtsp_transport tcp -timeout 10000000 ${LIVE} ${QUEUE}`,
    ],
    ["rtmp://c/a/b", `-protocol_whitelist rtmp,tcp -rw_timeout 10000000 ${LIVE}`],
    ["rtmps://c/a/b", `-protocol_whitelist rtmps,rtmp,tls,tcp -rw_timeout 10000000 ${LIVE}`],
    ["srt://c:9", `-protocol_whitelist srt -timeout 10000000 -connect_timeout 5000 ${LIVE} ${QUEUE}`],
    ["udp://:9", `-protocol_whitelist udp -timeout 10000000 -overrun_nonfatal 1 -fifo_size 50000 ${LIVE} ${QUEUE}`],
    ["rtp://:9", `-protocol_whitelist rtp,udp ${LIVE} ${QUEUE}`],
    [
      "https://c/a.m3u8",
      `-protocol_whitelist http,https,tls,tcp,crypto -rw_timeout 10000000 -reconnect 1 -reconnect_streamed 1 -reconnect_delay_max 5 ${LIVE}`,
    ],
  ])("%s is read within limits and without a way to other places", (input, expected) => {
    expect(lineOf({ input, outputs: ["rtmp://h/live/k"] })).toBe(`${HEAD} ${expected} -i ${input} ${COPY} ${FLV}`);
  });

  test("a file is read at its own speed, again and again when asked, and never as a playlist", () => {
    const args = lineOf({ input: { url: "/srv/a.mp4", loop: true }, outputs: ["rtmp://h/live/k"] });
    expect(args).toContain("-re -stream_loop -1 -protocol_whitelist file -format_whitelist mov,mp4");
    expect(args).toContain("-i file:/srv/a.mp4 ");
    expect(args).not.toMatch(/hls|concat/);
  });

  test("a test source is one graph of picture and tone, encoded by default", () => {
    const args = lineOf({ input: "test://bars?size=640x360&fps=25&tone=440", outputs: ["rtmp://h/live/k"] });
    expect(args).toContain(
      "-re -f lavfi -i testsrc=size=640x360:rate=25[out0];sine=frequency=440:sample_rate=44100[out1]",
    );
    expect(args).toContain("-c:v libx264 -preset ultrafast -pix_fmt yuv420p");
    expect(args).toContain("-c:a aac -b:a 128k -ac 2");
  });

  test("an old FFmpeg gets its own name of the RTSP limit and no option that it lacks", () => {
    const dialect = { rtspTimeoutOption: "stimeout", hasStatsPeriod: false } as const;
    const stream = admitted({ input: "rtsp://c/1", outputs: ["srt://h:9"] });
    const args = stream && ffmpegArguments({ stream, dialect, addSilence: false, previewPath: PREVIEW });
    expect(args).toContain("-stimeout");
    expect(args).not.toContain("-timeout 10000000 -an");
    expect(args).not.toContain("-stats_period");
  });
});

describe("outputs", () => {
  test.each([
    ["rtmps://h/live/k", "-f flv -flvflags no_duration_filesize -rw_timeout 10000000 rtmps://h/live/k"],
    ["srt://h:9?passphrase=x", "-f mpegts -timeout 10000000 -connect_timeout 5000 srt://h:9?passphrase=x"],
    ["rtsp://h/x", "-f rtsp -rtsp_transport tcp rtsp://h/x"],
    ["udp://239.0.0.1:5", "-f mpegts -pkt_size 1316 udp://239.0.0.1:5"],
    [
      "/srv/live.m3u8",
      "-f hls -hls_time 2 -hls_list_size 6 -hls_flags delete_segments+temp_file+program_date_time+append_list+omit_endlist -hls_segment_filename /srv/live%d.ts /srv/live.m3u8",
    ],
    [
      "https://h/a.m3u8",
      "-f hls -hls_time 2 -hls_list_size 6 -hls_flags delete_segments+program_date_time+omit_endlist -method PUT -http_persistent 1 -timeout 10 https://h/a.m3u8",
    ],
    [
      "/srv/rec/",
      "-f segment -segment_format matroska -segment_time 300 -strftime 1 -reset_timestamps 1 /srv/rec/%Y%m%d-%H%M%S.mkv",
    ],
    [
      "file:///srv/cam.ts",
      "-f segment -segment_format mpegts -segment_time 300 -strftime 1 -reset_timestamps 1 /srv/cam-%Y%m%d-%H%M%S.ts",
    ],
  ])("%s", (output, expected) => {
    const args = lineOf({ input: "rtsp://c/1", outputs: [output] });
    expect(args.slice(args.indexOf(" -y ") + 4)).toBe(expected);
  });

  test("an RTMP output never gets -timeout, which would turn FFmpeg into a server", () => {
    const args = argumentsOf({ input: "test://bars", outputs: ["rtmp://h/live/k", "rtmps://h/live/k"] });
    expect(args.join(" ")).not.toMatch(/(?:^|[ :-])timeout[ =]/);
  });

  test("several outputs share one tee: the first leads, the others follow behind queues", () => {
    const args = argumentsOf({ input: "rtsp://c/1", outputs: ["rtmp://h/live/k", "/srv/it's: a|b].ts"] });
    const tee = args.at(-1);
    expect(args.at(-2)).toBe("tee");
    expect(tee).toContain(
      "[f=flv:onfail=abort:flvflags=no_duration_filesize:rw_timeout=10000000]rtmp://h/live/k|[f=segment",
    );
    expect(tee).toContain("onfail=ignore:use_fifo=1:fifo_options=attempt_recovery=1\\\\:recover_any_error=1");
    expect(tee).toContain("]/srv/it\\'s: a\\|b]-%Y%m%d-%H%M%S.ts");
  });
});

describe("picture and sound", () => {
  const encodingOf = (fields: object) => {
    const args = lineOf({ input: "rtsp://c/1", outputs: ["rtmp://h/live/k"], ...fields });
    return args.slice(args.indexOf("-map"), args.indexOf(" -y "));
  };
  test.each([
    [{ video: "none", audio: "copy" }, "-map 0:a:0? -vn -c:a copy"],
    [{ audio: "none" }, "-map 0:v:0? -c:v copy -an"],
    [
      { video: { encoder: "libx264" } },
      "-map 0:v:0? -map 0:a:0? -c:v libx264 -preset veryfast -pix_fmt yuv420p -force_key_frames expr:gte(t,n_forced*2) -c:a copy",
    ],
    [
      {
        video: {
          encoder: "libx264",
          preset: "fast",
          profile: "main",
          size: "1280x720",
          fps: 25,
          bitrateKbit: 4500,
          gopFrames: 50,
        },
        audio: { encoder: "aac", bitrateKbit: 128, sampleRateHz: 44100, channels: 2 },
      },
      "-map 0:v:0? -map 0:a:0? -c:v libx264 -preset fast -profile:v main -pix_fmt yuv420p -vf scale=1280:720 -r 25 -b:v 4500k -maxrate 4500k -bufsize 9000k -g 50 -sc_threshold 0 -c:a aac -b:a 128k -ar 44100 -ac 2",
    ],
    [
      { video: { encoder: "h264_v4l2m2m", bitrateKbit: 2000 } },
      "-map 0:v:0? -map 0:a:0? -c:v h264_v4l2m2m -b:v 2000k -maxrate 2000k -bufsize 4000k -force_key_frames expr:gte(t,n_forced*2) -c:a copy",
    ],
  ])("%j", (fields, expected) => expect(encodingOf(fields)).toBe(expected));

  test("silence is drawn inside the graph and encoded", () => {
    const args = lineOf({ input: "rtsp://c/1", outputs: ["rtmp://h/live/k"] }, { addSilence: true });
    expect(args).toContain("-filter_complex anullsrc=channel_layout=stereo:sample_rate=44100[silence]");
    expect(args).toContain("-map 0:v:0? -map [silence] -c:v copy -c:a aac -b:a 64k -shortest");
  });

  test("a preview of a copied stream decodes key frames only, one of an encoded stream all it decodes anyway", () => {
    const preview = { everySeconds: 10, widthPixels: 160 };
    const copied = lineOf({ input: "rtsp://c/1", outputs: ["rtmp://h/live/k"], preview });
    expect(copied).toContain("-skip_frame:v nokey -protocol_whitelist");
    expect(copied).toContain("fps=fps=1/10:round=up,settb=AVTB,setpts=PTS-10/TB,scale=160:-2");
    expect(copied.endsWith(PREVIEW)).toBe(true);
    const encoded = lineOf({
      input: "rtsp://c/1",
      outputs: ["rtmp://h/live/k"],
      preview,
      video: { encoder: "libx264" },
    });
    expect(encoded).not.toContain("-skip_frame");
  });

  test.each([
    [{ outputs: ["rtmp://a.rtmp.youtube.com/live2/k"] }, "if-input-is-silent"],
    [{ outputs: ["rtmps://live-api-s.facebook.com:443/rtmp/k"], audio: "none" }, "always"],
    [{ outputs: ["rtmp://h/live/k"] }, "never"],
    [{ outputs: [{ url: "rtmp://a.rtmp.youtube.com/live2/k", needsAudio: false }] }, "never"],
    [{ outputs: [{ url: "rtmp://h/live/k", needsAudio: true }], input: "test://bars" }, "never"],
    [{ outputs: [{ url: "rtmp://h/live/k", needsAudio: true }], input: "test://bars?tone=0" }, "always"],
  ])("whether silence must stand in for %j: %s", (fields, decision) => {
    const stream = admitted({ input: "rtsp://c/1", ...fields });
    expect(stream && silenceDecision(stream)).toBe(decision);
  });
});

describe("whatever is asked", () => {
  const OURS = new Set(
    "-nostdin -hide_banner -nostats -loglevel -progress -stats_period -skip_frame:v -re -stream_loop -protocol_whitelist -format_whitelist -rtsp_transport -timeout -rw_timeout -connect_timeout -overrun_nonfatal -fifo_size -reconnect -reconnect_streamed -reconnect_delay_max -analyzeduration -probesize -thread_queue_size -i -f -filter_complex -map -c:v -c:a -vn -an -preset -profile:v -pix_fmt -vf -r -b:v -maxrate -bufsize -g -sc_threshold -force_key_frames -b:a -ar -ac -shortest -flags -y -flvflags -pkt_size -hls_time -hls_list_size -hls_flags -hls_segment_filename -method -http_persistent -segment_format -segment_format_options -segment_time -strftime -reset_timestamps -q:v -fifo_format -format_opts -attempt_recovery -recover_any_error -recovery_wait_time -drop_pkts_on_overflow -1".split(
      " ",
    ),
  );
  const piece = fc.oneof(
    fc.constantFrom(
      "rtsp://",
      "rtmp://",
      "test://bars",
      "/srv/",
      "file:",
      "concat:",
      "-i",
      "|",
      "[",
      "]",
      "'",
      "\\",
      "\n",
    ),
    fc.constantFrom(
      "udp://:",
      "srt://h:9",
      "http://h/",
      ".m3u8",
      ".mkv",
      ":",
      "@",
      "..",
      "%S",
      "subfile:",
      "crypto+",
      "h/live/k",
    ),
    fc.string({ maxLength: 8 }),
  );
  const base = fc.constantFrom(
    "rtsp://h/",
    "rtmp://h/live/",
    "srt://h:9",
    "udp://:9",
    "/srv/a",
    "file:///srv/",
    "test://bars",
    "",
  );
  const url = fc.tuple(base, fc.array(piece, { maxLength: 3 })).map(([start, pieces]) => start + pieces.join(""));
  const word = fc.constantFrom("copy", "copy", "none", "-vn", "libx264", "-y");
  const spec = fc.record({
    input: fc.oneof(url, fc.record({ url, loop: fc.boolean() })),
    outputs: fc.array(url, { minLength: 1, maxLength: 3 }),
    video: fc.oneof(word, fc.record({ encoder: word, preset: word })),
    preview: fc.constantFrom(undefined, {}),
  });

  test("no value begins with a dash and no place lies outside the policy", () => {
    let admissions = 0;
    fc.assert(
      fc.property(spec, fc.boolean(), (hostile, addSilence) => {
        const stream = admitted(hostile);
        if (stream === undefined) return;
        admissions++;
        expect(OPEN_POLICY.inputs).toContain(stream.input.scheme);
        const args = ffmpegArguments({ stream, dialect: DIALECT, addSilence, previewPath: PREVIEW });
        for (const value of args) if (value.startsWith("-")) expect(OURS).toContain(value);
        const target = args[args.indexOf("-i") + 1] ?? "";
        expect(target).toMatch(/^(?:rtsps?|rtmps?|srt|https?|udp|rtp):\/\/|^file:\/srv\/|^testsrc=size=/);
      }),
      { numRuns: 3000 },
    );
    expect(admissions).toBeGreaterThan(50);
  });
});
