import { expect, test } from "vitest";
import type { SessionRunSpec } from "../contract/session-spec.ts";
import { insideRoot, parsePorts, toProcessLaunch } from "./process-launch.ts";

const spec: SessionRunSpec = {
  user: "anna",
  template: {
    command: ["/opt/app/serve", "--quiet"],
    args: ["one two", "$HOME"],
    env: { MODE: "live", USER: "somebody" },
    ports: [
      { name: "web-ui", port: 80, scheme: "http" },
      { port: 5000, protocol: "udp" },
    ],
    workingDirectory: "/srv/app",
  },
  volumes: [{ name: "my-data", path: "/data" }],
};
const place = {
  root: "/state/workloads/web/root",
  ports: [
    { port: 80, protocol: "tcp", address: "127.0.0.1", hostPort: 21_000 },
    { port: 5000, protocol: "udp", address: "::1", hostPort: 21_001 },
  ],
  volumes: { "my-data": "/state/volumes/web/my-data" },
} as const;

test("a session becomes a program with its arguments as they are, and its places in the environment", () => {
  expect(toProcessLaunch("web", spec, place)).toEqual({
    file: "/opt/app/serve",
    args: ["--quiet", "one two", "$HOME"],
    env: {
      HOME: "/state/workloads/web/root",
      MODE: "live",
      USER: "anna",
      SESSION_ID: "web",
      PORT: "21000",
      ADDRESS: "127.0.0.1",
      PORT_WEB_UI: "21000",
      ADDRESS_WEB_UI: "127.0.0.1",
      PORT_5000: "21001",
      ADDRESS_5000: "::1",
      SLUICE_PORTS: "80/tcp=127.0.0.1:21000,5000/udp=[::1]:21001",
      SLUICE_VOLUME_MY_DATA: "/state/volumes/web/my-data",
    },
    cwd: "/state/workloads/web/root/srv/app",
  });
});

test("without ports and volumes nothing is said of them, and it begins in its own directory", () => {
  const plain = { user: "anna", template: { command: ["/bin/true"] } };
  const { env, cwd } = toProcessLaunch("job", plain, { root: "/r", ports: [], volumes: {} });
  expect(env).toEqual({ HOME: "/r", USER: "anna", SESSION_ID: "job" });
  expect(cwd).toBe("/r");
});

test("what the environment says of the ports is read back as it was written", () => {
  expect(parsePorts(toProcessLaunch("web", spec, place).env["SLUICE_PORTS"] ?? "")).toEqual(place.ports);
  expect(parsePorts("nonsense,80/sctp=h:1")).toEqual([]);
});

test("no path of the application leads out of its directory", () => {
  expect(insideRoot("/r", "/../../etc")).toBe("/r/etc");
  expect(insideRoot("/r", "data")).toBe("/r/data");
});
