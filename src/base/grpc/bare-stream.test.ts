import { type Duplex, duplexPair } from "node:stream";
import { expect, it } from "vitest";
import { BARE_PREFACE, type BareStream, createBareStream, startsBare } from "./bare-stream.ts";
import { prefixMessage } from "./grpc-messages.ts";

interface World {
  readonly stream: BareStream;
  /** The other end of the connection. */
  readonly wire: Duplex;
  /** What the stream said, in order; neighbouring bytes as one. */
  readonly heard: (string | Readonly<Record<string, string>>)[];
}

function open(isClient: boolean): World {
  const [socket, wire] = duplexPair();
  const stream = createBareStream(socket, { isClient });
  const heard: World["heard"] = [];
  stream.on("data", (bytes: Uint8Array) => {
    const text = Buffer.from(bytes).toString("latin1");
    const last = heard.at(-1);
    if (typeof last === "string" && last.startsWith("data ")) heard[heard.length - 1] = last + text;
    else heard.push(`data ${text}`);
  });
  for (const event of ["end", "aborted", "close"]) stream.on(event, () => heard.push(event));
  stream.on("trailers", (trailers: Record<string, string>) => heard.push(trailers));
  wire.on("error", () => undefined);
  return { stream, wire, heard };
}

const MESSAGES = Buffer.concat([prefixMessage(Buffer.from("one")), prefixMessage(Buffer.alloc(300, "2"))]);
const OK = Buffer.concat([Buffer.from([0x80, 0, 0, 0, 16]), Buffer.from("grpc-status: 0\r\n")]);

it("gives messages and the end as they were sent, wherever they are cut", async () => {
  const whole = Buffer.concat([MESSAGES, OK]);
  for (let cut = 1; cut < whole.length; cut++) {
    const { stream, wire, heard } = open(true);
    stream.resume();
    wire.write(whole.subarray(0, cut));
    await new Promise(setImmediate);
    wire.write(whole.subarray(cut));
    await expect.poll(() => heard.at(-1), { interval: 1 }).toBe("close");
    const data = heard.filter((one) => typeof one === "string" && one.startsWith("data "));
    expect(data.map((one) => String(one).slice(5)).join(""), `cut at ${cut}`).toBe(MESSAGES.toString("latin1"));
    expect(
      heard.filter((one) => !data.includes(one)),
      `cut at ${cut}`,
    ).toEqual([{ "grpc-status": "0" }, "end", "close"]);
  }
});

it.each([
  ["ends without a last record", (wire: Duplex) => void wire.end()],
  ["is cut", (wire: Duplex) => void wire.destroy()],
  ["goes on after the last record", (wire: Duplex) => void wire.write(Buffer.concat([OK, MESSAGES]))],
  ["has a record that is none of both", (wire: Duplex) => void wire.write(Buffer.from([0x40, 0, 0, 0, 0]))],
  ["has trailers without end", (wire: Duplex) => void wire.write(Buffer.from([0x80, 0xff, 0xff, 0xff, 0xff]))],
])("tells a connection that %s from an end in order", async (_, act) => {
  const { stream, wire, heard } = open(false);
  stream.resume();
  wire.write(MESSAGES);
  await new Promise(setImmediate);
  act(wire);
  await expect.poll(() => heard.at(-1)).toBe("close");
  expect(heard.slice(1)).toEqual(["aborted", "close"]);
  expect(stream.aborted).toBe(true);
});

it("holds what comes while nobody reads, gives back what was read too much, and the end after it", async () => {
  const { stream, wire, heard } = open(true);
  wire.write(Buffer.concat([MESSAGES, OK]));
  await new Promise(setImmediate);
  expect(heard).toEqual([]);
  stream.once("data", (bytes: Uint8Array) => {
    heard.length = 0;
    stream.pause();
    stream.unshift(bytes.subarray(3));
  });
  stream.resume();
  await expect.poll(() => stream.isPaused).toBe(true);
  await new Promise(setImmediate);
  expect(heard.filter((one) => typeof one === "string")).toEqual([]);
  stream.resume();
  await expect.poll(() => heard.at(-1)).toBe("close");
  expect(heard.filter((one) => typeof one === "string")).toEqual([
    `data ${MESSAGES.subarray(3).toString("latin1")}`,
    "end",
    "close",
  ]);
});

it("ends each side for itself, and says a status with the last", async () => {
  const [near, far] = duplexPair();
  const [client, server] = [createBareStream(near, { isClient: true }), createBareStream(far, { isClient: false })];
  const heard: unknown[] = [];
  server.on("end", () => heard.push("the client has said all"));
  client.on("data", (bytes: Uint8Array) => heard.push(Buffer.from(bytes.subarray(5)).toString()));
  client.on("trailers", (trailers) => heard.push(trailers));
  client.on("close", () => heard.push("close"));
  client.resume();
  server.resume();
  client.end();
  await expect.poll(() => heard.length).toBe(1);
  expect(client.write(MESSAGES)).toBe(false);
  server.write(prefixMessage(Buffer.from("still")));
  server.endWith({ "grpc-status": "14", "grpc-message": "the%20router" });
  await expect.poll(() => heard.at(-1)).toBe("close");
  expect(heard).toEqual([
    "the client has said all",
    "still",
    { "grpc-status": "14", "grpc-message": "the%20router" },
    "close",
  ]);
  expect([client.aborted, server.writableEnded]).toEqual([false, true]);
});

it("knows its preface from that of HTTP/2 by as many bytes as it takes", () => {
  const http2 = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  expect([0, 6, BARE_PREFACE.length - 1].map((bytes) => startsBare(BARE_PREFACE.subarray(0, bytes)))).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(startsBare(Buffer.concat([BARE_PREFACE, MESSAGES]))).toBe(true);
  expect([startsBare(http2.subarray(0, 6)), startsBare(http2.subarray(0, 7)), startsBare(Buffer.from("G"))]).toEqual([
    undefined,
    false,
    false,
  ]);
});
