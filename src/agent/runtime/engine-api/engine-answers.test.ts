import { expect, test } from "vitest";
import type { EngineEntry } from "../engine-output.ts";
import { toAwayError, toEngineError } from "./engine-problem.ts";
import { readJsonLines } from "./json-lines.ts";
import { readLogFrames } from "./log-frames.ts";
import { createPullSum } from "./pull-progress.ts";

async function* piecesOf(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

function frame(stream: 1 | 2, body: Buffer | string): Buffer {
  const bytes = Buffer.from(body);
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(bytes.length, 4);
  return Buffer.concat([header, bytes]);
}

test.each([1, 3, 8, 9, 1000])("frames are the same, however they are cut: %i bytes at a time", async (size) => {
  const time = "2026-11-21T18:16:33.000000007Z ";
  const binary = Buffer.from([0, 255, 10, 1, 0, 0, 0, 2, 13]);
  const sent = Buffer.concat([
    frame(1, `${time}hello\n`),
    frame(2, Buffer.concat([Buffer.from(time), binary])),
    frame(1, ""),
    frame(1, "no time at all"),
    frame(1, `${time}\n`),
  ]);
  const seen: EngineEntry[] = [];
  for await (const entry of readLogFrames(piecesOf(sent, size))) seen.push(entry);
  const timeNs = BigInt(Date.parse("2026-11-21T18:16:33Z")) * 1_000_000n + 7n;
  expect(seen).toEqual([
    { output: "stdout", bytes: Buffer.from("hello\n"), timeNs },
    { output: "stderr", bytes: binary, timeNs },
    { output: "stdout", bytes: Buffer.from("\n"), timeNs },
  ]);
});

test("a stream that is not framed is given up on, and not held", async () => {
  const reading = readLogFrames(piecesOf(Buffer.from("plain text of a terminal"), 8));
  await expect(reading.next()).rejects.toThrow("not framed");
});

test("lines of JSON are read one by one, and what is none is left out", async () => {
  const seen: unknown[] = [];
  for await (const json of readJsonLines(piecesOf(Buffer.from('{"a":"ä"}\nnonsense\n\n{"b":2}'), 4))) seen.push(json);
  expect(seen).toEqual([{ a: "ä" }, { b: 2 }]);
});

test("the progress of a pull is the sum of its layers, unpacking left out", () => {
  const sum = createPullSum();
  sum({ id: "a", status: "Downloading", progressDetail: { current: 10, total: 100 } });
  sum({ id: "b", status: "Downloading", progressDetail: { current: 5, total: 50 } });
  sum({ id: "a", status: "Download complete", progressDetail: {} });
  expect(sum({ id: "a", status: "Extracting", progressDetail: { current: 1, total: 100 } })).toEqual({
    doneBytes: 105,
    totalBytes: 150,
  });
});

test.each([
  { status: 404, said: "No such container: x", code: "not-found" },
  { status: 500, said: "container x does not exist in database: no such container", code: "not-found" },
  { status: 409, said: "Conflict. The container name is already in use", code: "conflict" },
  { status: 500, said: "write /var/lib/docker/x: no space left on device", code: "storage" },
  {
    status: 500,
    said: "driver failed programming: Bind for 127.0.0.1:80 failed: port is already allocated",
    code: "conflict",
  },
  { status: 500, said: "listen tcp4 127.0.0.1:80: bind: address already in use", code: "conflict" },
  { status: 500, said: "could not select device driver with capabilities: [[gpu]]", code: "unsupported" },
  { status: 500, said: "fork/exec: resource temporarily unavailable", code: "exhausted" },
  { status: 400, said: 'exec: "nope": executable file not found in $PATH', code: "not-found" },
  { status: 400, said: "invalid mount config", code: "invalid" },
  { status: 403, said: "authorization denied by plugin", code: "refused" },
  { status: 500, said: "something else", code: "unavailable" },
])("$status, $said: $code", ({ status, said, code }) => {
  const error = toEngineError({ status, text: JSON.stringify({ message: said }) }, "Docker Engine, POST /x");
  expect([error.code, error.message]).toEqual([code, `Docker Engine, POST /x: ${said}`]);
});

test("an answer without words is told by its status, and plain text as it is", () => {
  expect(toEngineError({ status: 502, text: "" }, "Podman").message).toBe("Podman: status 502");
  expect(toEngineError({ status: 500, text: "page not found\nat all" }, "Podman").message).toContain("page not found");
});

test.each([
  { errno: "ENOENT", code: "unavailable", text: "nothing listens there" },
  { errno: "ECONNREFUSED", code: "unavailable", text: "nothing listens there" },
  { errno: "EACCES", code: "refused", text: "this user may not use it" },
  { errno: "ECONNRESET", code: "unavailable", text: "socket hang up" },
])("an engine that gives no answer ($errno) is named with its place", ({ errno, code, text }) => {
  const thrown = Object.assign(new TypeError("socket hang up"), { code: errno });
  const error = toAwayError(thrown, { title: "Docker Engine", socketPath: "/run/docker.sock" });
  expect([error.code, error.message.startsWith(`Docker Engine at /run/docker.sock: ${text}`)]).toEqual([code, true]);
});
