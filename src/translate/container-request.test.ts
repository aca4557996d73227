import { expect, test } from "vitest";
import type { SessionRunSpec } from "../contract/session-spec.ts";
import type { SessionWorkload } from "../contract/workload.ts";
import { type ContainerBox, toContainerRequest } from "./container-request.ts";

const BOX: ContainerBox = {
  engine: "docker",
  stateDir: "/var/lib/sluice",
  address: "192.0.2.7",
  logDriver: "json-file",
};
const MARK = { boxId: "box-1", generation: 3, nonce: "ab12", specHash: "cafe" };
const OWNER = { "sluice.state-dir": "/var/lib/sluice", "sluice.box": "box-1", "sluice.workload": "desk" };

function session(
  template: SessionRunSpec["template"],
  rest: Partial<SessionRunSpec> & Pick<SessionWorkload, "resources"> = {},
): SessionWorkload {
  const { resources, ...spec } = rest;
  return {
    kind: "session",
    id: "desk",
    ...(resources === undefined ? {} : { resources }),
    spec: { user: "anna", template, ...spec },
  };
}
const request = (workload: SessionWorkload, box: Partial<ContainerBox> = {}) =>
  toContainerRequest(workload, MARK, { ...BOX, ...box });
const hostConfigOf = (...given: Parameters<typeof request>) => request(...given).container["HostConfig"];

test("a session is one container in a network of its own, which nobody but the agent restarts", () => {
  expect(request(session({ image: "nginx:1.27" }))).toEqual({
    name: "sluice-desk",
    network: { Name: "sluice-desk", Driver: "bridge", CheckDuplicate: true, Labels: OWNER },
    volumes: [],
    limits: {},
    container: {
      Image: "nginx:1.27",
      Env: ["USER=anna", "SESSION_ID=desk"],
      Labels: { ...OWNER, "sluice.generation": "3", "sluice.nonce": "ab12", "sluice.spec": "session/cafe" },
      ExposedPorts: {},
      StopTimeout: 10,
      HostConfig: {
        PidsLimit: 4096,
        NetworkMode: "sluice-desk",
        PortBindings: {},
        Mounts: [],
        RestartPolicy: { Name: "no" },
        SecurityOpt: ["no-new-privileges"],
        LogConfig: { Type: "json-file", Config: { "max-size": "10m", "max-file": "3" } },
      },
    },
  });
});

test.each([
  { given: {}, entrypoint: undefined, cmd: undefined },
  { given: { args: ["-v"] }, entrypoint: undefined, cmd: ["-v"] },
  { given: { command: ["/bin/app", "run"] }, entrypoint: ["/bin/app", "run"], cmd: [] },
  { given: { command: ["/bin/app"], args: ["-v"] }, entrypoint: ["/bin/app"], cmd: ["-v"] },
])("$given leaves the image's own command where none is given, and none of it where one is", (row) => {
  const { container } = request(session({ image: "app:1", ...row.given }));
  expect([container["Entrypoint"], container["Cmd"]]).toEqual([row.entrypoint, row.cmd]);
});

test("the environment that was given wins over what every session has", () => {
  const { container } = request(session({ image: "app:1", env: { TZ: "Europe/Berlin", USER: "root" } }));
  expect(container["Env"]).toEqual(["USER=root", "SESSION_ID=desk", "TZ=Europe/Berlin"]);
});

test.each([
  { resources: { cpu: "500m" }, limits: { NanoCpus: 5e8 } },
  { resources: { cpu: "1.5" }, limits: { NanoCpus: 1.5e9 } },
  { resources: { memory: "256Mi" }, limits: { Memory: 2 ** 28, MemorySwap: 2 ** 28 } },
  { resources: {}, limits: {} },
])("the limits $resources are $limits, swap included", ({ resources, limits }) => {
  const made = request(session({ image: "app:1" }, { resources }));
  expect(made.limits).toEqual(limits);
  expect(made.container["HostConfig"]).toMatchObject(limits);
});

test("a port is published where it says, on the box's address and any free port unless it does", () => {
  const ports: SessionRunSpec["template"]["ports"] = [
    { port: 80 },
    { port: 53, protocol: "udp", hostPort: 5353, address: "127.0.0.1" },
    { port: 80, hostPort: 8080, address: "::1" },
  ];
  const { container } = request(session({ image: "app:1", ports }));
  expect(container["ExposedPorts"]).toEqual({ "80/tcp": {}, "53/udp": {} });
  expect(container["HostConfig"]).toMatchObject({
    PortBindings: {
      "80/tcp": [
        { HostIp: "192.0.2.7", HostPort: "" },
        { HostIp: "::1", HostPort: "8080" },
      ],
      "53/udp": [{ HostIp: "127.0.0.1", HostPort: "5353" }],
    },
  });
});

test("volumes of its own bear its name and say what becomes of them; a directory of the box is never made", () => {
  const volumes: SessionRunSpec["volumes"] = [
    { name: "home", path: "/home/anna" },
    { name: "cache", path: "/cache", onStop: "delete", readOnly: true },
    { name: "media", path: "/media", hostPath: "/srv/media" },
  ];
  const made = request(session({ image: "app:1" }, { volumes }));
  expect(made.volumes).toEqual([
    { Name: "sluice-desk-home", Driver: "local", Labels: { ...OWNER, "sluice.on-stop": "keep" } },
    { Name: "sluice-desk-cache", Driver: "local", Labels: { ...OWNER, "sluice.on-stop": "delete" } },
  ]);
  expect(made.container["HostConfig"]).toMatchObject({
    Mounts: [
      { Type: "volume", Source: "sluice-desk-home", Target: "/home/anna", ReadOnly: false },
      { Type: "volume", Source: "sluice-desk-cache", Target: "/cache", ReadOnly: true },
      { Type: "bind", Source: "/srv/media", Target: "/media", ReadOnly: false },
    ],
  });
});

test.each([
  { box: { logDriver: "json-file" }, is: { Type: "json-file", Config: { "max-size": "10m", "max-file": "3" } } },
  { box: { logDriver: "journald" }, is: undefined },
  { box: { logDriver: "" }, is: undefined },
  { box: { engine: "podman", logDriver: "" }, is: { Type: "", Config: { "max-size": "10m" } } },
] as const)(
  "with $box what is kept of its output is bounded where the driver would keep it without end",
  ({ box, is }) => {
    const config = hostConfigOf(session({ image: "app:1" }), box);
    expect(config).toEqual(expect.objectContaining(is === undefined ? {} : { LogConfig: is }));
    if (is === undefined) expect(config).not.toHaveProperty("LogConfig");
  },
);

test("Docker is asked for GPUs, and Podman, which would silently give none, is not", () => {
  const workload = session({ image: "app:1" }, { gpus: 2 });
  expect(hostConfigOf(workload)).toMatchObject({
    DeviceRequests: [{ Driver: "", Count: 2, Capabilities: [["gpu"]] }],
  });
  expect(() => request(workload, { engine: "podman" })).toThrow("gpus: 2; Podman gives none");
});

test("without an image there is no container", () => {
  expect(() => request(session({ command: ["/bin/app"] }))).toThrow("template.image: absent");
});
