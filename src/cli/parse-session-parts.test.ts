import { expect, test } from "vitest";
import { parseSessionPort, parseSessionVolume, parseVariable, parseVariablesFile } from "./parse-session-parts.ts";

test.each([
  ["80", { port: 80 }],
  ["8080:80", { port: 80, hostPort: 8080 }],
  [":80", { port: 80 }],
  ["127.0.0.1:8080:80", { port: 80, hostPort: 8080, address: "127.0.0.1" }],
  ["0.0.0.0::80", { port: 80, address: "0.0.0.0" }],
  ["[::1]:8080:80", { port: 80, hostPort: 8080, address: "::1" }],
  ["web=8080:80/http", { name: "web", port: 80, hostPort: 8080, scheme: "http" }],
  ["53/udp", { port: 53, protocol: "udp" }],
])("a port %j", (text, port) => {
  expect(parseSessionPort(text)).toEqual(port);
});

test.each(["", "http", "80:", "1:2:3:4", "70000", "web=", "80/"])(
  "%j is no port, and the message says what is",
  (text) => {
    expect(() => parseSessionPort(text)).toThrow(/^--port: given .*allowed: /);
  },
);

test.each([
  ["data:/var/lib/app", { name: "data", path: "/var/lib/app" }],
  ["clips:media:ro", { name: "clips", path: "media", readOnly: true }],
  ["cache:/cache:delete", { name: "cache", path: "/cache", onStop: "delete" }],
  ["/srv/My Media/:/media:ro", { name: "my-media", path: "/media", hostPath: "/srv/My Media/", readOnly: true }],
  ["/1:/one", { name: "files", path: "/one", hostPath: "/1" }],
])("a volume %j", (text, volume) => {
  expect(parseSessionVolume(text)).toEqual(volume);
});

test.each(["data", ":/x", "data:/x:rw"])("%j is no volume", (text) => {
  expect(() => parseSessionVolume(text)).toThrow(/^--volume: given .*allowed: NAME:PATH/);
});

test("a variable has its value beside it or in the environment, and a message tells none", () => {
  expect(parseVariable("A=b=c", {})).toEqual(["A", "b=c"]);
  expect(parseVariable("A=", {})).toEqual(["A", ""]);
  expect(parseVariable("TOKEN", { TOKEN: "hunter2" })).toEqual(["TOKEN", "hunter2"]);
  expect(() => parseVariable("TOKEN", {})).toThrow(/^--env: given "TOKEN"; allowed: NAME=VALUE, or the NAME/);
  expect(() => parseVariable("=hunter2", {})).toThrow(/^(?!.*hunter2)--env:/);
});

test("a file of variables may have comments, quotes and export", () => {
  expect(parseVariablesFile("app.env", "# of the app\n\nA=1\r\nexport B='two words'\nC=\"x\"\nD=a=b\n")).toEqual({
    A: "1",
    B: "two words",
    C: "x",
    D: "a=b",
  });
  expect(() => parseVariablesFile("app.env", "A=1\nhunter2\n")).toThrow(/^app\.env:2: (?!.*hunter2)/);
});
