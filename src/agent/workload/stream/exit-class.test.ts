import { describe, expect, test } from "vitest";
import { classifyExit } from "./exit-class.ts";

/** Standard error of FFmpeg 5.1.9 at `level+warning`, as it was really written, and what it must be taken for. */
const REAL: readonly { name: string; class: string; retry: string; evidence: string; output: readonly string[] }[] = [
  {
    name: "a closed port",
    class: "network",
    retry: "backoff",
    evidence: "[error] rtmp://127.0.0.1:9/live/***: Connection refused",
    output: [
      "[tcp @ 0x56022860ec40] [error] Connection to tcp://127.0.0.1:9?tcp_nodelay=0 failed: Connection refused",
      "[rtmp @ 0x56022860e700] [error] Cannot open connection tcp://127.0.0.1:9?tcp_nodelay=0",
      "[error] rtmp://127.0.0.1:9/live/***: Connection refused",
    ],
  },
  {
    name: "a host that does not resolve",
    class: "network",
    retry: "backoff",
    evidence: "[tcp] [error] Failed to resolve hostname no-such-host.invalid: Name or service not known",
    output: [
      "[tcp @ 0x55d446276c40] [error] Failed to resolve hostname no-such-host.invalid: Name or service not known",
      "[rtmp @ 0x55d446276700] [error] Cannot open connection tcp://no-such-host.invalid:1935?tcp_nodelay=0",
      "[error] rtmp://no-such-host.invalid/live/***: Input/output error",
    ],
  },
  {
    name: "a frozen server",
    class: "network",
    retry: "backoff",
    evidence: "[error] rtmp://127.0.0.1:21936/live/***: Connection timed out",
    output: [
      "[rtmp @ 0x55d8ad8a5700] [error] Cannot read RTMP handshake response",
      "[error] rtmp://127.0.0.1:21936/live/***: Connection timed out",
    ],
  },
  {
    name: "a server that was killed",
    class: "network",
    retry: "backoff",
    evidence: "[error] Error closing file rtmp://127.0.0.1:21936/live/***: Broken pipe",
    output: [
      "[error] av_interleaved_write_frame(): Broken pipe",
      "[flv @ 0x559d20b7a280] [warning] Failed to update header with correct duration.",
      "[error] Error writing trailer of rtmp://127.0.0.1:21936/live/***: Broken pipe",
      "[error] Error closing file rtmp://127.0.0.1:21936/live/***: Broken pipe",
    ],
  },
  {
    name: "a second publisher",
    class: "already-publishing",
    retry: "after",
    evidence: "[error] rtmp://127.0.0.1:21936/live/***: Operation not permitted",
    output: [
      "[rtmp @ 0x55651b78c880] [error] Server error: Already publishing",
      "[error] rtmp://127.0.0.1:21936/live/***: Operation not permitted",
    ],
  },
  {
    name: "a publisher that the server's hook denies",
    class: "rejected",
    retry: "backoff",
    evidence: "[error] rtmp://127.0.0.1:21936/deny/***: Input/output error",
    output: ["[error] rtmp://127.0.0.1:21936/deny/***: Input/output error"],
  },
  {
    name: "a wrong SRT passphrase",
    class: "unauthorized",
    retry: "long",
    evidence:
      "08:37:59.009167/SRT:RcvQ:w1!W:SRT.cn: processAsyncConnectRequest: REJECT reported from HS processing: Incorrect passphrase - not processing further",
    output: [
      "08:37:59.009167/SRT:RcvQ:w1!W:SRT.cn: processAsyncConnectRequest: REJECT reported from HS processing: Incorrect passphrase - not processing further",
      "[srt @ 0x557a8c338140] [error] Connection to srt://127.0.0.1:21940?passphrase=*** failed: Input/output error",
      "[error] srt://127.0.0.1:21940?passphrase=***: Input/output error",
    ],
  },
  {
    name: "nobody listening on SRT",
    class: "network",
    retry: "backoff",
    evidence: "[error] srt://127.0.0.1:9: Input/output error",
    output: [
      "[srt @ 0x556bf70a7140] [error] Connection to srt://127.0.0.1:9 failed: Input/output error",
      "[error] srt://127.0.0.1:9: Input/output error",
    ],
  },
  {
    name: "an RTSP server that went away",
    class: "network",
    retry: "backoff",
    evidence: "[error] Error writing trailer of rtsp://127.0.0.1:21941/x: Broken pipe",
    output: [
      "[error] av_interleaved_write_frame(): Broken pipe",
      "[error] Error writing trailer of rtsp://127.0.0.1:21941/x: Broken pipe",
    ],
  },
  {
    name: "a silent UDP sender",
    class: "network",
    retry: "backoff",
    evidence: "[error] udp://127.0.0.1:19555: Input/output error",
    output: ["[error] udp://127.0.0.1:19555: Input/output error"],
  },
  {
    name: "a refused password over HTTP",
    class: "unauthorized",
    retry: "long",
    evidence: "[error] http://127.0.0.1:21937/auth/x.m3u8: Server returned 401 Unauthorized (authorization failed)",
    output: ["[error] http://127.0.0.1:21937/auth/x.m3u8: Server returned 401 Unauthorized (authorization failed)"],
  },
  {
    name: "a page that is not there",
    class: "input-not-found",
    retry: "backoff",
    evidence: "[error] http://127.0.0.1:21937/x.m3u8: Server returned 404 Not Found",
    output: [
      "[http @ 0x55a1766ba140] [warning] HTTP error 404 Not Found",
      "[error] http://127.0.0.1:21937/x.m3u8: Server returned 404 Not Found",
    ],
  },
  {
    name: "a missing file",
    class: "input-not-found",
    retry: "backoff",
    evidence: "[error] /srv/nope.mp4: No such file or directory",
    output: ["[error] /srv/nope.mp4: No such file or directory"],
  },
  {
    name: "a file that is no video",
    class: "bad-input",
    retry: "backoff",
    evidence: "[error] garbage.mp4: Invalid data found when processing input",
    output: [
      "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x563d1e0d5940] [error] moov atom not found",
      "[error] garbage.mp4: Invalid data found when processing input",
    ],
  },
  {
    name: "an unknown encoder",
    class: "bad-arguments",
    retry: "long",
    evidence: "[fatal] Unknown encoder 'nope264'",
    output: ["[fatal] Unknown encoder 'nope264'"],
  },
  {
    name: "an unknown option",
    class: "bad-arguments",
    retry: "long",
    evidence: "[fatal] Error splitting the argument list: Option not found",
    output: ["[error] Unrecognized option 'bogus'.", "[fatal] Error splitting the argument list: Option not found"],
  },
  {
    name: "a preset that the encoder lacks",
    class: "bad-arguments",
    retry: "long",
    evidence:
      "[error] Error initializing output stream 0:0 -- Error while opening encoder for output stream #0:0 - maybe incorrect parameters such as bit_rate, rate, width or height",
    output: [
      "x264 [error]: invalid preset 'nope'",
      "[libx264 @ 0x55861acca0c0] [error] Error setting preset/tune nope/(null).",
      "[error] Error initializing output stream 0:0 -- Error while opening encoder for output stream #0:0 - maybe incorrect parameters such as bit_rate, rate, width or height",
    ],
  },
  {
    name: "a map of nothing",
    class: "bad-arguments",
    retry: "long",
    evidence: "[fatal] Stream map '0:s' matches no streams.",
    output: ["[fatal] Stream map '0:s' matches no streams.", "To ignore this, add a trailing '?' to the map."],
  },
];

describe("exit 1 is classified by what FFmpeg wrote", () => {
  for (const { name, output, class: kind, retry, evidence } of REAL) {
    test(name, () => {
      const verdict = classifyExit({ exit: { code: 1, signal: null }, output, isFiniteInput: false });
      expect(verdict).toMatchObject({ class: kind, retry, evidence });
    });
  }

  test("the ingest gets twenty seconds to forget a vanished publisher", () => {
    const output = ["[rtmp @ 0x1] [error] Server error: Already publishing"];
    const verdict = classifyExit({ exit: { code: 1, signal: null }, output, isFiniteInput: false });
    expect(verdict.afterMs).toBe(20_000);
  });
});

describe("what another still has", () => {
  test.each([
    ["camera-busy", 10_000, "camera", "[rtsp @ 0x55d0] [error] method SETUP failed: 453 Not Enough Bandwidth"],
    ["camera-busy", 10_000, "camera", "[rtsp @ 0x55d0] [error] method DESCRIBE failed: 503 Service Unavailable"],
    ["camera-busy", 10_000, "camera", "[http @ 0x55d0] [warning] Too many connections"],
    ["camera-busy", 10_000, "camera", "[error] Maximum number of RTSP sessions reached"],
    [
      "device-busy",
      5000,
      "device",
      "[video4linux2,v4l2 @ 0x5] [error] ioctl(VIDIOC_STREAMON): Device or resource busy",
    ],
    ["device-busy", 5000, "device", "[alsa @ 0x5] [error] cannot open audio device hw:0 (Device or resource busy)"],
    ["device-busy", 5000, "device", "[udp @ 0x5] [error] bind failed: Address already in use"],
  ])("is %s and waited out", (kind, afterMs, taken, line) => {
    const verdict = classifyExit({ exit: { code: 1, signal: null }, output: [line], isFiniteInput: false });
    expect(verdict).toMatchObject({ class: kind, retry: "after", afterMs, taken });
  });

  test("a web server's 503 is the network's", () => {
    const output = [
      "[http @ 0x1] [warning] HTTP error 503 Service Unavailable",
      "[error] Server returned 5XX Server Error reply",
    ];
    expect(classifyExit({ exit: { code: 1, signal: null }, output, isFiniteInput: false }).class).toBe("network");
  });
});

describe("code and signal", () => {
  const exitOf = (code: number | null, signal: NodeJS.Signals | null = null) => ({ code, signal });
  const CASES = [
    ["255", exitOf(255), false, "asked", "backoff"],
    ["123", exitOf(123), false, "hard-exit", "backoff"],
    ["69", exitOf(69), false, "error-rate", "backoff"],
    ["0 of a camera", exitOf(0), false, "end-of-input", "backoff"],
    ["0 of a file", exitOf(0), true, "finished", "long"],
    ["1 without a word", exitOf(1), false, "unknown", "backoff"],
    ["SIGKILL", exitOf(null, "SIGKILL"), false, "out-of-memory", "backoff"],
    ["SIGSEGV", exitOf(null, "SIGSEGV"), false, "crashed", "backoff"],
    ["SIGHUP", exitOf(null, "SIGHUP"), false, "signalled", "backoff"],
    ["an end that nobody saw", exitOf(null), false, "unknown", "backoff"],
  ] as const;
  for (const [name, exit, isFiniteInput, kind, retry] of CASES) {
    test(`${name} is ${kind}`, () => {
      expect(classifyExit({ exit, output: [], isFiniteInput })).toEqual({ class: kind, retry });
    });
  }

  test("0 is a network loss when an RTSP input timed out", () => {
    const output = ["[error] rtsp://cam/1: Connection timed out"];
    expect(classifyExit({ exit: exitOf(0), output, isFiniteInput: false })).toMatchObject({ class: "network" });
  });

  test("a follower's trouble does not spoil the end of a file", () => {
    const output = ["[fifo @ 0x1] [error] Error opening rtmp://h/a/***: Connection refused"];
    expect(classifyExit({ exit: exitOf(0), output, isFiniteInput: true }).class).toBe("finished");
  });

  test("an unknown end shows the last error", () => {
    const output = ["[x @ 0x1] [error] something odd", "[x @ 0x1] [warning] later"];
    const verdict = classifyExit({ exit: exitOf(1), output, isFiniteInput: false });
    expect(verdict).toEqual({ class: "unknown", retry: "backoff", evidence: "[x] [error] something odd" });
  });
});
