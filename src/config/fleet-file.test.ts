import { expect, test } from "vitest";
import { parseFleetFile, parseStreamFile } from "./fleet-file.ts";

const FILE = `
boxes:
  north-1:
    name: North gate
    labels: {site: north}
    streams:
      - id: cam-1
        spec:
          input: rtsp://cam/1
          outputs: [rtmp://host/live/key]
      - id: cam-2
        desired: hibernated
        spec: {input: rtsp://cam/2, outputs: [{url: rtmp://host/live/k2, needsAudio: true}]}
rollouts:
  lobby:
    selector: site=north
    template: {kind: stream, id: "lobby-{{box.id}}", spec: {input: "rtsp://{{label.cam}}/1", outputs: ["rtmp://h/live/{{box.id}}"]}}
alertRules:
  offline: {condition: box-offline, webhook: {url: "https://alerts.example/hook"}}
`;

test("a fleet file says boxes with their streams, rollouts and rules of alerts", () => {
  const fleet = parseFleetFile("fleet.yaml", FILE);
  expect(fleet.boxes?.["north-1"]?.streams?.map(({ kind, id, desired }) => [kind, id, desired])).toEqual([
    ["stream", "cam-1", undefined],
    ["stream", "cam-2", "hibernated"],
  ]);
  expect(fleet.boxes?.["north-1"]?.streams?.[0]?.spec).toMatchObject({ input: { url: "rtsp://cam/1" } });
  expect(fleet.rollouts?.["lobby"]?.enabled).toBe(true);
  expect(fleet.alertRules?.["offline"]?.forSeconds).toBe(60);
});

test("an empty file asks for nothing", () => {
  expect(parseFleetFile("f", "")).toEqual({});
});

test.each([
  ["boxes: [", /^f:1: is not valid YAML/],
  ["boxs: {}", /^f:1: boxs: is not a key that a fleet file has; did you mean boxes\?/],
  ["cameras: {}", /^f:1: cameras: is not a key that a fleet file has \(docs\/cli\.md lists them\)/],
  ["boxes:\n  north-1:\n    stream: []", /^f:3: boxes\.north-1\.stream: is not a key .*; did you mean streams\?/],
  [
    "sessions:\n  web:\n    user: a\n    template: {image: x}\n    volumes: [{nmae: data, path: /data}]",
    /^f:5: sessions\.web\.volumes\[0\]\./,
  ],
  [
    "boxes:\n  north-1:\n    streams:\n      - id: cam-1\n        spec: {input: 7, outputs: [x]}",
    /^f:5: boxes\.north-1\.streams\[0\]\.spec\.input: given a number; allowed:/,
  ],
  [
    "boxes:\n  north-1:\n    streams:\n      - id: .x\n        spec: {input: a, outputs: [x]}",
    /^f:4: boxes\.north-1\.streams\[0\]\.id: given a text of 2 characters/,
  ],
  [
    "rollouts:\n  r:\n    selector: 'a b'\n    template: {kind: stream, id: x, spec: {}}",
    /^f:3: rollouts\.r\.selector: .*no condition on labels/,
  ],
  ["- a\n- b", /^f: event|^f/],
])("what is wrong is named with its line and field: %j", (text, message) => {
  expect(() => parseFleetFile("f", text)).toThrow(message);
});

test("no message shows what a URL holds", () => {
  const text = "id: cam\nspec: {input: 'rtsp://ann:canary@cam', outputs: [], video: canary}";
  expect(() => parseStreamFile("s.yaml", text)).toThrow(/^(?!.*canary)s\.yaml:2/);
});

test("a file whose aliases grow without end is refused", () => {
  const bomb = [
    "a: &a [x,x,x,x,x,x,x,x,x]",
    ..."bcdefg".split("").map((name, index) => `${name}: &${name} [${Array(9).fill(`*${"abcdef"[index]}`).join(",")}]`),
  ];
  expect(() => parseFleetFile("f", bomb.join("\n"))).toThrow(/^f/);
});
