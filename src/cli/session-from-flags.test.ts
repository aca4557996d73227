import { expect, test } from "vitest";
import { splitAtDashes } from "./commands/session-start.ts";
import { freeId, type SessionFlags, type SessionGivens, sessionFromFlags } from "./session-from-flags.ts";

const NOTHING: SessionGivens = {
  file: {},
  id: "web",
  box: undefined,
  command: [],
  variables: {},
  environment: {},
  user: "anna",
};
const from = (flags: SessionFlags, givens: Partial<SessionGivens> = {}) =>
  sessionFromFlags(flags, { ...NOTHING, ...givens });

test("an image or a command is all that a session needs", () => {
  expect(from({ image: "nginx:1.27" })).toEqual({ id: "web", user: "anna", template: { image: "nginx:1.27" } });
  expect(from({}, { command: ["sleep", "100"] })).toEqual({
    id: "web",
    user: "anna",
    template: { command: ["sleep", "100"] },
  });
  expect(from({ image: "ffmpeg" }, { command: ["-i", "x"] }).template).toEqual({ image: "ffmpeg", args: ["-i", "x"] });
});

test("each flag has its place in the wish", () => {
  const flags = {
    image: "nginx",
    name: "Kiosk",
    user: "bob",
    select: "site=north",
    port: ["web=80/http"],
    env: ["MODE=dark", "API_KEY"],
    volume: ["data:/data"],
    workdir: "/srv",
    cpu: "500m",
    memory: "1Gi",
    gpus: "1",
    idle: "30m",
    activeCpu: "5",
    max: "8h",
    platform: "podman",
    restart: "on-failure",
    hibernation: "frozen",
    onLost: "move",
  };
  const given = { box: "north-1", variables: { MODE: "light", LANG: "C" }, environment: { API_KEY: "k-1" } };
  expect(from(flags, given)).toEqual({
    id: "web",
    name: "Kiosk",
    user: "bob",
    box: "north-1",
    select: "site=north",
    platform: "podman",
    template: {
      image: "nginx",
      ports: [{ name: "web", port: 80, scheme: "http" }],
      env: { MODE: "dark", LANG: "C", API_KEY: "k-1" },
      workingDirectory: "/srv",
    },
    volumes: [{ name: "data", path: "/data" }],
    resources: { cpu: "500m", memory: "1Gi", gpus: 1 },
    idleTimeout: "30m",
    activity: { cpuPercent: 5 },
    maxDuration: "8h",
    restart: "on-failure",
    hibernation: "frozen",
    onLost: "move",
  });
});

test("flags win over the file, and what they leave stays", () => {
  const file = {
    id: "web",
    user: "lobby",
    template: { image: "nginx:1", command: ["nginx"], env: { A: "1", B: "2" } },
    resources: { memory: "1Gi" },
  };
  expect(from({ image: "nginx:2", env: ["B=3"], cpu: "1" }, { file, id: undefined })).toEqual({
    id: "web",
    user: "lobby",
    template: { image: "nginx:2", command: ["nginx"], env: { A: "1", B: "3" } },
    resources: { memory: "1Gi", cpu: "1" },
  });
  expect(() => from({}, { file, id: "other" })).toThrow("ID: given other; allowed: web, as in the file");
});

test.each([
  [{}, {}, /^COMMAND: given nothing; allowed: --image/],
  [{ image: "no image!" }, {}, /^--image: template\.image/],
  [{ image: "a", memory: "lots" }, {}, /^--memory: resources\.memory/],
  [{ image: "a", idle: "soon" }, {}, /^--idle: idleTimeout: .*30m/],
  [{ image: "a", activeCpu: "0" }, {}, /^--active-cpu: given "0"/],
  [{ image: "a", env: ["1X=1"] }, {}, /^--env: template\.env/],
  [{ image: "a", volume: ["Data:/x"] }, {}, /^--volume: volumes\[0\]\.name/],
  [{ image: "a" }, { id: "No-1" }, /^ID: id: .*small letters/],
])("what is wrong is named by its flag (%#)", (flags, givens, message) => {
  expect(() => from(flags, givens)).toThrow(message);
});

test.each([
  [{ image: "registry.example:5000/apps/Nginx:1.27" }, [], "nginx"],
  [{ image: "nginx@sha256:abc" }, [], "nginx"],
  [{}, ["/usr/bin/python3.11", "app.py"], "python3-11"],
  [{}, ["./7"], "session"],
])("a session without an id is called after what it runs (%#)", (flags, command, id) => {
  expect(from(flags, { command, id: undefined }).id).toBe(id);
});

test("a number makes an id free", () => {
  expect(freeId("nginx", new Set(["nginx", "nginx-2"]))).toBe("nginx-3");
  expect(freeId("nginx", new Set())).toBe("nginx");
});

test("what stands after -- is the command, whatever it looks like", () => {
  const typed = ["session", "start", "web", "--box", "n", "--", "sleep", "--verbose", "--", "1"];
  expect(splitAtDashes(["web", "sleep", "--verbose", "--", "1"], typed)).toEqual({
    id: "web",
    command: ["sleep", "--verbose", "--", "1"],
  });
  expect(splitAtDashes(["sleep", "1"], ["--", "sleep", "1"])).toEqual({ id: undefined, command: ["sleep", "1"] });
  expect(splitAtDashes(["web"], ["web"])).toEqual({ id: "web", command: [] });
  expect(() => splitAtDashes(["web", "sleep"], ["web", "sleep"])).toThrow(/^COMMAND: given "sleep" after the id/);
});
