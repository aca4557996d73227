import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { StreamPolicy } from "../../../config/agent-options.ts";
import { streamSpecSchema } from "../../../contract/stream-spec.ts";
import { admitStream, isHostMatch } from "./stream-admission.ts";
import { systemStreamDisk } from "./stream-disk.ts";
import { OPEN_POLICY } from "./stream-world.fake.ts";

let root: string;
let policy: StreamPolicy;
beforeAll(() => {
  const base = realpathSync(mkdtempSync(join(tmpdir(), "sluice-roots-")));
  root = join(base, "root");
  mkdirSync(join(root, "in"), { recursive: true });
  mkdirSync(join(base, "outside"));
  symlinkSync(join(base, "outside"), join(root, "leak"));
  symlinkSync(join(base, "not-yet.mkv"), join(root, "dangling.mkv"));
  symlinkSync(root, join(base, "alias"));
  policy = { ...OPEN_POLICY, fileRoots: [root] };
});
afterAll(() => rmSync(join(root, ".."), { recursive: true }));

function refusalOf(spec: unknown, rules: Partial<StreamPolicy> = {}) {
  return admitStream(streamSpecSchema.parse(spec), { ...policy, ...rules }, systemStreamDisk).refusal;
}
const inputRefusal = (input: unknown, rules?: Partial<StreamPolicy>) =>
  refusalOf({ input, outputs: ["rtmp://h/live/k"] }, rules);
const outputRefusal = (output: unknown, rules?: Partial<StreamPolicy>) =>
  refusalOf({ input: "test://bars", outputs: [output] }, rules);

describe("inputs", () => {
  test.each([
    "rtsp://user:p@ss@cam.local:554/1?channel=1",
    "rtsps://cam/1",
    "rtmp://h/live/x",
    "rtmps://h/live/x",
    "srt://h:9000?mode=caller&latency=200",
    "srt://:9000?mode=listener",
    "http://h/live.m3u8",
    "https://h/live.ts",
    "udp://@239.0.0.1:1234",
    "udp://:5000",
    "rtp://[ff02::1]:5004",
    "test://bars?size=640x360&fps=25&tone=440",
    "test://bars",
  ])("%s is admitted", (url) => expect(inputRefusal(url)).toBeUndefined());

  test.each([
    ["-i", "policy.inputs", "dash"],
    ["-rtsp://h/x", "policy.inputs", "dash"],
    ["concat:/etc/passwd|/etc/shadow", "policy.inputs", "concat"],
    ["subfile,,start,0,end,9,,:/etc/passwd", "policy.inputs", "scheme in lower case"],
    ["crypto:http://h/x", "policy.inputs", "crypto"],
    ["cache:rtsp://h/x", "policy.inputs", "cache"],
    ["async:rtsp://h/x", "policy.inputs", "async"],
    ["data:text/plain,x", "policy.inputs", "data"],
    ["pipe:0", "policy.inputs", "pipe"],
    ["lavfi://movie", "policy.inputs", "lavfi"],
    ["RTSP://h/x", "policy.inputs", "lower case"],
    ["rtsp://h/x\n-y", "policy.inputs", "control"],
    ["rtsp://h/x y", "policy.inputs", "printable"],
    ["rtsp://good\\@evil/x", "policy.inputs", "printable"],
    ["rtsp://h:99999/x", "policy.inputs", "port"],
    ["rtsp:///x", "policy.inputs", "no host"],
    ["rtsp://-h/x", "policy.inputs", "valid host"],
    ["rtsp:h/x", "policy.inputs", "rtsp://"],
    ["etc/passwd", "policy.inputs", "absolute path"],
    ["test://bars?size=1x1", "spec", "test://bars with"],
    ["test://movie=x", "policy.inputs", "valid host"],
    ["test://bars?size=64x64&fps=5;movie", "spec", "test://bars with"],
  ])("%s is refused", (url, rule, word) => {
    const refusal = inputRefusal(url);
    expect(refusal?.rule).toBe(rule);
    expect(refusal?.message).toContain(word);
  });

  test("a scheme outside the policy is refused with what is allowed", () => {
    const refusal = inputRefusal("rtsp://cam/1", { inputs: ["srt", "test"] });
    expect(refusal).toEqual({
      rule: "policy.inputs",
      message: "input.url: the scheme rtsp is not allowed; allowed: srt, test",
    });
  });

  test("options that do nothing for an input are refused", () => {
    expect(inputRefusal({ url: "srt://h:9", rtspTransport: "udp" })?.rule).toBe("spec");
    expect(inputRefusal({ url: "rtsp://h/1", loop: true })?.rule).toBe("spec");
  });
});

describe("outputs", () => {
  test.each(["rtmp://h/live/k", "srt://h:9", "rtsp://h/x", "udp://239.0.0.1:5000?ttl=2", "https://h/a.m3u8"])(
    "%s is admitted",
    (url) => expect(outputRefusal(url)).toBeUndefined(),
  );

  test.each([
    ["https://h/upload", "policy.outputs", "HLS"],
    ["tcp://h:9", "policy.outputs", "tcp"],
    ["tee:x", "policy.outputs", "tee://"],
    ["udp://239.0.0.1", "spec", "port"],
  ])("%s is refused", (url, rule, word) => {
    const refusal = outputRefusal(url);
    expect(refusal?.rule).toBe(rule);
    expect(refusal?.message).toContain(word);
  });

  test("options that do nothing for an output are refused", () => {
    expect(outputRefusal({ url: "rtmp://h/a/k", keepSegments: 3 })?.message).toContain("keepSegments");
    expect(outputRefusal({ url: "rtmp://h/a/k", rtspTransport: "tcp" })?.message).toContain("rtspTransport");
  });

  test("an output named twice is refused", () => {
    const twice = { input: "test://bars", outputs: ["srt://h:9", "srt://h:9"] };
    expect(refusalOf(twice)?.message).toContain("outputs[1].url");
  });
});

describe("files", () => {
  test("a file inside a root, through an alias of the root too, is admitted", () => {
    expect(outputRefusal(join(root, "new/dir/cam.mkv"))).toBeUndefined();
    expect(outputRefusal(`file://${root}/live.m3u8`)).toBeUndefined();
    expect(outputRefusal(join(root, "../alias/cam.mkv").replace("/root/..", ""))).toBeUndefined();
    expect(inputRefusal(join(root, "in/clip.mp4"), { inputs: ["file"] })).toBeUndefined();
  });

  test.each(["/etc/passwd.mkv", "ROOT/../outside/x.mkv", "ROOT/leak/x.mkv", "ROOT/dangling.mkv", "ROOTx/a.mkv"])(
    "%s is refused",
    (path) => {
      const refusal = outputRefusal(path.replace("ROOT", root));
      expect(["policy.fileRoots", "policy.outputs"]).toContain(refusal?.rule);
    },
  );

  test("without roots no file is admitted", () => {
    expect(outputRefusal(join(root, "a.mkv"), { fileRoots: [] })?.rule).toBe("policy.fileRoots");
  });

  test.each(["a.exe", "%n.mkv", "a%.mkv", "noextension"])("the recording name %s is refused", (name) => {
    expect(outputRefusal(join(root, name))?.rule).toBe("spec");
  });
});

describe("hosts", () => {
  test.each([
    ["example.com", "example.com", true],
    ["example.com", "a.example.com", false],
    ["*.example.com", "a.b.example.com", true],
    ["*.example.com", "example.com", false],
    ["*.example.com", "badexample.com", false],
    ["EXAMPLE.com", "example.com", true],
  ])("%s allows %s: %s", (pattern, host, isAllowed) => expect(isHostMatch(pattern, host)).toBe(isAllowed));

  test("the host that counts is the one after the last @", () => {
    const hosts = ["cam.example.com"];
    expect(inputRefusal("rtsp://cam.example.com@evil.com/1", { hosts })?.rule).toBe("policy.hosts");
    expect(inputRefusal("rtsp://a@b@cam.example.com/1", { hosts })?.message ?? "admitted").not.toContain("input");
  });
});

test("raw arguments are refused unless the box allows them", () => {
  const spec = { input: "test://bars", outputs: ["srt://h:9"], rawArguments: { input: ["-re"] } };
  expect(refusalOf(spec)?.rule).toBe("policy.rawArguments");
  expect(refusalOf(spec, { rawArguments: true })).toBeUndefined();
});

test("a refusal never repeats what may be secret", () => {
  const secret = fc.stringMatching(/^canary[a-z0-9]{8}$/);
  const url = fc.tuple(fc.constantFrom("rtmp", "foo", "rtsp", "http", "-x"), secret).map(([scheme, key]) => ({
    key,
    url: `${scheme}://u:${key}@h\u0001/${key}?token=${key}`,
  }));
  fc.assert(
    fc.property(url, ({ url: text, key }) => {
      for (const refusal of [inputRefusal(text), outputRefusal(text)]) {
        expect(refusal).toBeDefined();
        expect(refusal?.message).not.toContain(key);
      }
    }),
  );
});

test("what is to be moved is a recording, and nothing else removes it", () => {
  const move = { to: "archive:/archive" };
  const refused = (output: object) => refusalOf({ input: "rtsp://h/1", outputs: [output] })?.message;
  expect(refused({ url: `${root}/in/`, move })).toBeUndefined();
  expect(refused({ url: "rtmp://h/live/k", move })).toBe("outputs[0].move is for recordings, not for rtmp");
  expect(refused({ url: `${root}/in/x.m3u8`, move })).toBe("outputs[0].move is for recordings, not for hls-files");
  expect(refused({ url: `${root}/in/`, move, keepSegments: 3 })).toContain("keepSegments cannot be given with move");
});
