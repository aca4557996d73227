import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatBytes } from "../src/cli/duration.ts";
import { workloadPutSchema } from "../src/contract/fleet/expected-view.ts";
import { sessionWishSchema } from "../src/contract/fleet/session.ts";
import { tunnelCreateSchema } from "../src/contract/fleet/tunnel.ts";
import { syncRequestSchema } from "../src/contract/transfer/sync-request.ts";
import { workloadSchema } from "../src/contract/workload.ts";

/** A module of the page, as the browser loads it. */
function load(file: string) {
  return import(pathToFileURL(resolve(import.meta.dirname, "../public/dashboard", file)).href);
}
const { readEvents } = await load("read-events.js");
const { nearestName } = await load("nearest-name.js");
const { changesIn } = await load("changes.js");
const { toTunnel } = await load("tunnel-form.js");
const { splitWords, toSession } = await load("session-form.js");
const { exitText, idleText, isOnLoopback, isWebAddress, portText, wakesText } = await load("session-text.js");
const { toTransfer } = await load("transfer-form.js");
const { bytesText } = await load("../shared/quantity.js");
const { amountText, shareOf } = await load("transfer-text.js");
const { differencesOf, toWorkload, unshownOf } = await load("stream-form.js");
const { unwellFirst } = await load("box-query.js");
const { parseLabels, labelsText } = await load("labels.js");

async function eventsOf(bytes: Uint8Array, cuts: readonly number[]) {
  const edges = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  const pieces = edges.slice(1).map((edge, index) => bytes.slice(edges[index], edge));
  const events = [];
  for await (const event of readEvents(ReadableStream.from(pieces))) events.push(event);
  return events;
}

test("events are the same wherever the network cuts them, even inside a line's end or a character", async () => {
  const text =
    ': beat\r\nid: e.1\r\nevent: line\r\ndata: {"a":"é🎥"}\r\n\r\ndata: one\rdata: two\r\rretry: 50\ndata:three\n\ndata: lost';
  const bytes = new TextEncoder().encode(text);
  const whole = await eventsOf(bytes, []);
  expect(whole).toEqual([
    { name: "line", data: '{"a":"é🎥"}', id: "e.1", retryMs: undefined },
    { name: "message", data: "one\ntwo", id: "e.1", retryMs: undefined },
    { name: "message", data: "three", id: "e.1", retryMs: 50 },
  ]);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(), { maxLength: 12 }), async (cuts) => {
      expect(await eventsOf(bytes, cuts)).toEqual(whole);
    }),
  );
});

test("comments are heard apart from the events, in their order", async () => {
  const said: string[] = [];
  const body = ReadableStream.from([new TextEncoder().encode(": beat 3\n\ndata: one\n\n:\n: beat 15\n\n")]);
  for await (const { data } of readEvents(body, (text: string) => said.push(text))) said.push(data);
  expect(said).toEqual([" beat 3", "one", "", " beat 15"]);
});

test.each([
  ["workload.spec.outputs[0].url", "workload.spec.outputs[0].url"],
  ["body.workload.pictureUrl", "workload.pictureUrl"],
  ["workload.spec.input", "workload.spec.input.url"],
  ["workload.spec.outputs[0].url.scheme", "workload.spec.outputs[0].url"],
  ["If-Match", undefined],
  [undefined, undefined],
])("a message about %s is shown at %s", (field, name) => {
  const names = [
    "box",
    "workload.id",
    "workload.spec.input.url",
    "workload.spec.outputs[0].url",
    "workload.pictureUrl",
  ];
  expect(nearestName(field, names)).toBe(name);
});

test("what the form says is a workload that the hub takes, without what was left empty", () => {
  const form = new FormData();
  form.set("workload.id", "cam-1");
  form.set("workload.name", " ");
  form.set("workload.priority", "70");
  form.set("workload.pictureUrl", "wss://media.example/live/cam-1.flv");
  form.set("workload.spec.input.url", "rtsp://camera/1");
  form.set("workload.spec.outputs[0].url", "rtmp://h/live/k");
  form.set("workload.spec.video", "encode");
  form.set("workload.spec.video.encoder", "libx264");
  form.set("workload.spec.video.fps", "12.5");
  form.set("workload.spec.outputs[0].needsAudio", "on");
  const workload = toWorkload(form);
  expect(workloadPutSchema.parse({ workload, desired: "running" }).workload).toEqual(workloadSchema.parse(workload));
  expect(workload).toEqual({
    kind: "stream",
    id: "cam-1",
    priority: 70,
    pictureUrl: "wss://media.example/live/cam-1.flv",
    spec: {
      input: { url: "rtsp://camera/1" },
      outputs: [{ url: "rtmp://h/live/k", needsAudio: true }],
      video: { encoder: "libx264", fps: 12.5 },
    },
  });
});

const HELD = {
  kind: "stream",
  id: "cam-1",
  pictureUrl: "wss://media.example/live/cam-1.flv",
  spec: {
    input: { url: "rtsp://u:***@camera/1", rtspTransport: "udp" },
    outputs: [
      { url: "rtmp://h/live/***", needsAudio: true },
      { url: "/media/%Y.mkv", segmentSeconds: 60 },
    ],
    video: { encoder: "libx264", profile: "high", fps: 25 },
    update: "replace",
  },
};

function formOf(fields: Record<string, string>) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  return form;
}

test("changing a stream keeps what the form does not show, and drops what was emptied in it", () => {
  const form = formOf({
    "workload.spec.input.url": "rtsp://u:***@camera/1",
    "workload.spec.outputs[0].url": "rtmp://h/live/***",
    "from[0]": "0",
    "workload.spec.outputs[1].url": "/media/%Y.mkv",
    "from[1]": "1",
    "workload.spec.video": "encode",
    "workload.spec.video.encoder": "libx264",
    "workload.spec.video.fps": "",
  });
  expect(toWorkload(form, HELD)).toEqual({
    kind: "stream",
    id: "cam-1",
    spec: {
      input: { url: "rtsp://u:***@camera/1", rtspTransport: "udp" },
      outputs: [{ url: "rtmp://h/live/***" }, { url: "/media/%Y.mkv", segmentSeconds: 60 }],
      video: { encoder: "libx264", profile: "high" },
      update: "replace",
    },
  });
  expect(unshownOf(HELD)).toEqual(["input.rtspTransport", "outputs[1].segmentSeconds", "video.profile", "update"]);
});

test("a masked secret that would come to mean another output's is refused at its field", () => {
  const moved = formOf({
    "workload.spec.input.url": "rtsp://camera/1",
    "workload.spec.outputs[0].url": "rtmp://h/live/***",
    "from[0]": "1",
  });
  expect(() => toWorkload(moved, HELD)).toThrow(
    expect.objectContaining({ field: "workload.spec.outputs[0].url", message: expect.stringContaining("whole") }),
  );
});

test("two forms of a workload differ where a person would see it", () => {
  const other = { ...HELD, priority: 70, spec: { ...HELD.spec, update: undefined, outputs: [HELD.spec.outputs[1]] } };
  const found = differencesOf(HELD, other).map(({ path }: { path: string }) => path);
  expect(found.toSorted()).toEqual([
    "priority",
    "spec.outputs[0].needsAudio",
    "spec.outputs[0].segmentSeconds",
    "spec.outputs[0].url",
    "spec.outputs[1].segmentSeconds",
    "spec.outputs[1].url",
    "spec.update",
  ]);
  expect(differencesOf(HELD, structuredClone(HELD))).toEqual([]);
});

test("a change of state is said once, without its counters, and many are counted", () => {
  const said = (...sentences: string[]) => new Map(sentences.map((text, index) => [String(index), text]));
  const before = said("cam-1 is running", "cam-2 is stalled: nothing for 4 s", "cam-3 is running");
  expect(changesIn(before, before)).toBe("");
  expect(changesIn(before, said("cam-1 is running", "cam-2 is stalled: nothing for 11.5 s"))).toBe("");
  expect(changesIn(new Map(), before)).toBe("");
  expect(changesIn(before, said("cam-1 is waiting", "cam-2 is running"))).toBe("cam-1 is waiting. cam-2 is running");
  const many = (word: string) => said(...Array.from({ length: 9 }, () => word));
  expect(changesIn(many("up"), many("down"))).toBe("down. down. down. and 6 more changes");
});

test("a tunnel's form is what the hub takes, with addresses as people write them", () => {
  const given = formOf({
    name: "Dock",
    producer: "north-1",
    consumer: "south-1",
    sources: "10.0.0.5:554, [fd00::1]:8554",
    entries: "5100 127.0.0.1:5101, [::1]:5102, 10.0.0.9",
    "via.address": "gate.example",
    "via.port": "20000",
    security: "psk",
    minTls: "1.2",
    rateMbit: "12.5",
    lifetimeSeconds: "12h",
    connections: "",
    "via.listen": " ",
  });
  expect(tunnelCreateSchema.parse(toTunnel(given))).toEqual({
    name: "Dock",
    producer: "north-1",
    consumer: "south-1",
    sources: [
      { host: "10.0.0.5", port: 554 },
      { host: "fd00::1", port: 8554 },
    ],
    entries: [
      { address: "127.0.0.1", port: 5100 },
      { address: "127.0.0.1", port: 5101 },
      { address: "::1", port: 5102 },
      { address: "10.0.0.9" },
    ],
    via: { address: "gate.example", port: 20_000 },
    security: "psk",
    minTls: "1.2",
    rateMbit: 12.5,
    lifetimeSeconds: 43_200,
  });
});

test.each([
  ["sources", "camera"],
  ["sources", ":554"],
  ["lifetimeSeconds", "a week"],
])("a tunnel whose %s is %j is refused where it stands", (field, text) => {
  const given = formOf({ producer: "a", consumer: "b", sources: "h:1", [field]: text });
  expect(() => toTunnel(given)).toThrow(expect.objectContaining({ field }));
});

test("boxes that need a person stand first, each once, and revoked ones last", () => {
  const box = (id: string, more: object = {}) => ({
    id,
    name: id,
    state: "approved",
    connection: "online",
    workloads: { unwell: 0 },
    incidents: [],
    ...more,
  });
  const boxes = [
    box("b10"),
    box("b9"),
    box("gone", { state: "revoked", connection: "offline" }),
    box("new", { state: "pending", connection: "never" }),
    box("sick", { workloads: { unwell: 1 } }),
    box("off", { connection: "offline" }),
    box("copy", { quarantine: {} }),
    box("off", { connection: "offline" }),
  ];
  expect(unwellFirst(boxes).map(({ id }: { id: string }) => id)).toEqual([
    "copy",
    "off",
    "sick",
    "new",
    "b9",
    "b10",
    "gone",
  ]);
});

test("labels are written as they are read", () => {
  const labels = { site: "north", gpu: "" };
  expect(labelsText(labels)).toBe("site=north, gpu");
  expect(parseLabels(labelsText(labels))).toEqual(labels);
  expect(() => parseLabels("=x")).toThrow('"=x" has no key');
});

test.each(["ftp://media/1.flv", "wss://user:secret@media/1.flv", "no address"])(
  "%s is no place for a live picture",
  (pictureUrl) => {
    const workload = { kind: "stream", id: "a", pictureUrl, spec: { input: "test://bars", outputs: ["rtmp://h/l/k"] } };
    expect(workloadSchema.safeParse(workload).error?.issues[0]?.path).toEqual(["pictureUrl"]);
  },
);

test("the form of a session gives what the hub takes, without what was left empty", () => {
  const filled = formOf({
    id: " web ",
    name: "",
    user: "anna",
    box: "",
    select: "site=north",
    platform: "podman",
    kind: "image",
    "template.image": "nginx:1.27",
    "template.args": "-g 'daemon off;'",
    "template.ports[0].port": "80",
    "template.ports[0].scheme": "http",
    "template.ports[0].protocol": "tcp",
    "template.ports[0].hostPort": "",
    "template.env[0].name": "API_KEY",
    "template.env[0].value": " k 1 ",
    "template.env[1].name": "",
    "template.env[1].value": "lost",
    "volumes[0].name": "data",
    "volumes[0].path": "/data",
    "volumes[0].onStop": "delete",
    "volumes[0].readOnly": "on",
    "resources.cpu": "500m",
    "resources.gpus": "1",
    idleTimeout: "30m",
    "activity.cpuPercent": "2.5",
    hibernation: "frozen",
  });
  const wish = toSession(filled);
  expect(sessionWishSchema.parse(wish)).toEqual(wish);
  expect(wish).toEqual({
    id: "web",
    user: "anna",
    select: "site=north",
    platform: "podman",
    template: {
      image: "nginx:1.27",
      args: ["-g", "daemon off;"],
      ports: [{ port: 80, scheme: "http" }],
      env: { API_KEY: " k 1 " },
    },
    volumes: [{ name: "data", path: "/data", readOnly: true, onStop: "delete" }],
    resources: { cpu: "500m", gpus: 1 },
    idleTimeout: "30m",
    activity: { cpuPercent: 2.5 },
    hibernation: "frozen",
  });
  const plain = formOf({ id: "job", user: "anna", kind: "command", "template.command": "/bin/sh -c 'sleep 1'" });
  expect(toSession(plain).template).toEqual({ command: ["/bin/sh", "-c", "sleep 1"] });
});

test("words are parted at blanks, quotes keep them together, and one that does not close is told at its field", () => {
  expect(splitWords(`a  "b c" 'd "e"' --f=g`, "template.args")).toEqual(["a", "b c", 'd "e"', "--f=g"]);
  expect(() => splitWords("a 'b", "template.args")).toThrow(expect.objectContaining({ field: "template.args" }));
});

test("only addresses that a browser opens become links, and one on loopback is told as the box's own", () => {
  expect(["127.0.0.1", "127.1.2.3", "::1"].every((address) => isOnLoopback({ address }))).toBe(true);
  expect(["10.0.0.1", "0.0.0.0", "::"].some((address) => isOnLoopback({ address }))).toBe(false);
  expect(["http://10.0.0.1:8080/", "https://box"].every(isWebAddress)).toBe(true);
  expect(["javascript:alert(1)", "rtsp://box/1", "data:text/html,x", "tcp://box:1", "nothing"].some(isWebAddress)).toBe(
    false,
  );
});

test("a session's figures read as words, and an end for want of memory is named", () => {
  const wish = { idleTimeout: "30m" };
  const idle = { hibernatesAt: "2026-01-15T10:32:00Z" };
  const nowMs = Date.parse("2026-01-15T10:30:00Z");
  expect(idleText({ state: "running", session: { idle }, wish }, nowMs)).toBe("hibernates in 2 min 0 s");
  expect(idleText({ state: "running", session: { idle }, wish }, nowMs + 130_000)).toBe("hibernates now");
  expect(idleText({ state: "hibernated", session: { idle }, wish }, nowMs)).toBe("hibernates after 30m unused");
  expect(idleText({ state: "running", session: {}, wish: {} }, nowMs)).toBe(undefined);
  expect(exitText({ code: 137, signal: null, class: "oom-killed" })).toBe("out of memory, code 137, oom-killed");
  expect(exitText({ code: null, signal: "SIGTERM", class: "asked" })).toBe("SIGTERM, asked");
  expect(wakesText({ session: { wakeMs: { frozen: 12.4, stopped: 1200 } } })).toBe(
    "12 ms from frozen, 1 s from stopped",
  );
  expect(portText({ port: 80, hostPort: 8080, address: "10.0.0.1" })).toBe("port 8080 on 10.0.0.1 → 80/tcp");
});

test("a transfer's form becomes the request that the hub takes, without what was left empty", () => {
  const form = new FormData();
  for (const [name, value] of [
    ["source_box", "north-1"],
    ["source_path", " /srv/day 1 "],
    ["destination_box", ""],
    ["destination_path", "/archive"],
    ["include", "*.mp4\n\n  a b,c.mkv "],
    ["exclude", ""],
    ["chunk_size_mb", "8"],
    ["bandwidth_mbps", "much"],
    ["verify", "full"],
    ["priority", "low"],
  ] as const)
    form.set(name, value);
  const wanted = {
    source_box: "north-1",
    source_path: "/srv/day 1",
    destination_path: "/archive",
    include: ["*.mp4", "a b,c.mkv"],
    chunk_size_mb: 8,
    bandwidth_mbps: "much",
    verify: "full",
    priority: "low",
  };
  expect(toTransfer(form)).toEqual(wanted);
  expect(syncRequestSchema.safeParse({ ...wanted, bandwidth_mbps: 20 }).success).toBe(true);
  expect(syncRequestSchema.safeParse(wanted).error?.issues[0]?.path).toEqual(["bandwidth_mbps"]);
  form.set("delete_extraneous", "yes");
  expect(toTransfer(form)).toMatchObject({ delete_extraneous: true });
});

test("a transfer's share is unknown until all is listed, and that of empty files is counted by files", () => {
  const transfer = { state: "PROGRESS", transferred_bytes: 25, total_bytes: 100, files_done: 1, files_total: 2 };
  expect(shareOf({ ...transfer, is_listed: true })).toBe(0.25);
  expect(shareOf({ ...transfer, is_listed: false })).toBeUndefined();
  expect(shareOf({ ...transfer, total_bytes: 0, is_listed: true })).toBe(0.5);
  expect(shareOf({ ...transfer, state: "COMPLETED", is_listed: true })).toBe(1);
  expect(amountText({ ...transfer, is_listed: false })).toBe("25 B of 100 B+");
});

test("an amount of bytes reads as the commands say it", () => {
  expect([0, 1023, 1536, 5 * 1024 * 1024, 1.5e9, 3e12, 1e16].map(bytesText)).toEqual([
    "0 B",
    "1023 B",
    "1.5 KiB",
    "5 MiB",
    "1.4 GiB",
    "2.7 TiB",
    "9095 TiB",
  ]);
  fc.assert(fc.property(fc.nat({ max: Number.MAX_SAFE_INTEGER }), (bytes) => bytesText(bytes) === formatBytes(bytes)));
});
