import { appendFileSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createProgressParser } from "./progress.ts";
import { createProgressProbe, MAX_PROGRESS_BYTES } from "./progress-probe.ts";
import { systemStreamDisk } from "./stream-disk.ts";

function block(frame: number | string, end = "continue", newline = "\n"): string {
  return [
    `frame=${frame}`,
    "fps=9.72",
    "stream_0_0_q=-1.0",
    "bitrate=N/A",
    "total_size=340656",
    "out_time_us=9914921",
    "out_time_ms=9914921",
    "out_time=00:00:09.914921",
    "dup_frames=0",
    "drop_frames=2",
    "speed=0.974x",
    `progress=${end}`,
    "",
  ].join(newline);
}

const SAMPLE = { frames: 99, outTimeUs: 9914921, totalBytes: 340656, droppedFrames: 2, isEnded: false };

function parse(text: string | Buffer) {
  const parser = createProgressParser();
  parser.feed(Buffer.from(text));
  return parser;
}

describe("the parser", () => {
  test("reads a block and says when it was the last", () => {
    expect(parse(block(99)).latest()).toEqual(SAMPLE);
    expect(parse(block(99, "end")).latest()).toEqual({ ...SAMPLE, isEnded: true });
  });

  test("knows nothing before a block has ended", () => {
    expect(parse("frame=4\nout_time_us=3\n").latest()).toBeUndefined();
  });

  test("gives the same sample however the bytes are cut", () => {
    const bytes = Buffer.from(block(98, "continue", "\r\n") + block(99, "continue", "\r"));
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 20 }), (cuts) => {
        const parser = createProgressParser();
        let from = 0;
        for (const cut of [...cuts.sort((left, right) => left - right), bytes.length]) {
          parser.feed(bytes.subarray(from, cut));
          from = cut;
        }
        expect(parser.latest()).toEqual(SAMPLE);
      }),
    );
  });

  test.each(["N/A", "-1", "-00:00:01", "1e3", "", "99999999999999999999", "9007199254740992"])(
    "takes frame=%s for unknown, not for zero",
    (value) => {
      expect(parse(block(value)).latest()).toEqual({ ...SAMPLE, frames: undefined });
    },
  );

  test("counts on beyond 32 bits", () => {
    expect(parse(block(4294967297)).latest()?.frames).toBe(4294967297);
  });

  test("falls back to out_time_ms, which is in microseconds in spite of its name", () => {
    expect(parse("out_time_ms=5000000\nprogress=continue\n").latest()?.outTimeUs).toBe(5_000_000);
  });

  test("drops an endless line, counts it and goes on after it", () => {
    const parser = createProgressParser();
    const chunk = Buffer.alloc(64 * 1024, "x");
    for (let index = 0; index < 200; index++) parser.feed(chunk);
    parser.feed(Buffer.from(`\n${block(99)}`));
    expect(parser.latest()).toEqual(SAMPLE);
    expect(parser.truncations()).toBe(1);
  });

  test("survives any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (noise) => {
        const parser = createProgressParser();
        parser.feed(noise);
        parser.feed(Buffer.from(`\nprogress=continue\n${block(99)}`));
        expect(parser.latest()).toEqual(SAMPLE);
      }),
    );
  });

  test("counts nothing after a gap until a block has begun", () => {
    const parser = createProgressParser();
    parser.resync();
    parser.feed(Buffer.from("_size=3\nprogress=continue\n"));
    expect(parser.latest()).toBeUndefined();
    parser.feed(Buffer.from(block(99)));
    expect(parser.latest()).toEqual(SAMPLE);
  });
});

describe("the probe", () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "sluice-progress-"));
    path = join(directory, "progress");
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test("waits for a file that is not there yet, then follows it", () => {
    const probe = createProgressProbe(path, systemStreamDisk);
    expect(probe.sample()).toBeUndefined();
    writeFileSync(path, block(1));
    expect(probe.sample()?.frames).toBe(1);
    appendFileSync(path, block(2).slice(0, 50));
    expect(probe.sample()?.frames).toBe(1);
    appendFileSync(path, block(2).slice(50));
    expect(probe.sample()?.frames).toBe(2);
    probe.close();
    appendFileSync(path, block(3));
    expect(probe.sample()?.frames).toBe(2);
  });

  test("empties a file that has grown long and follows the writer to its start", () => {
    const probe = createProgressProbe(path, systemStreamDisk);
    writeFileSync(path, "");
    expect(probe.sample()).toBeUndefined();
    let frame = 0;
    let longest = 0;
    for (let turn = 0; turn < 3000; turn++) {
      appendFileSync(path, block(++frame));
      longest = Math.max(longest, statSync(path).size);
      if (turn % 7 === 0) probe.sample();
    }
    expect(longest).toBeLessThan(MAX_PROGRESS_BYTES + 7 * 300);
    appendFileSync(path, block(++frame));
    appendFileSync(path, block(++frame));
    expect(probe.sample()?.frames).toBe(frame);
    probe.close();
  });

  test("starts near the end of what an earlier agent left", () => {
    writeFileSync(path, `${block(1).repeat(500)}${block(2)}`);
    const probe = createProgressProbe(path, systemStreamDisk);
    expect(probe.sample()?.frames).toBe(2);
    probe.close();
  });

  test("finds its way when somebody else emptied the file", () => {
    const probe = createProgressProbe(path, systemStreamDisk);
    writeFileSync(path, block(1).repeat(3));
    probe.sample();
    truncateSync(path);
    appendFileSync(path, "_size=1\nprogress=continue\n");
    expect(probe.sample()?.frames).toBe(1);
    appendFileSync(path, block(7));
    expect(probe.sample()?.frames).toBe(7);
    probe.close();
  });
});
