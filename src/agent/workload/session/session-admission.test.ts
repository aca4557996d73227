import { expect, test } from "vitest";
import { matchesEnding } from "../../../base/matches-ending.ts";
import { MASK } from "../../../base/redact.ts";
import type { SessionPlatformName, SessionRunSpec } from "../../../contract/session-spec.ts";
import { admitSession, sessionClaims } from "./session-admission.ts";

const policy = {
  images: ["nginx:1", "registry.example/apps/*"],
  sessionCommands: ["/bin/app"],
  sessionMounts: ["/srv"],
};
/** `/srv/link` leads out. */
const disk = {
  realpath: (path: string) =>
    path === "/srv/link" ? "/etc" : /^\/(?:srv|etc)(?:\/known)?$/.test(path) ? path : undefined,
  hasEntry: () => false,
};
const judge = (spec: Partial<SessionRunSpec>, platform: SessionPlatformName = "process") =>
  admitSession({ user: "anna", template: { command: ["/bin/app"] }, ...spec }, { platform, policy, disk });
const ports = (...list: NonNullable<SessionRunSpec["template"]["ports"]>) => ({ command: ["/bin/app"], ports: list });
const volume = (given: object) => ({ name: "data", path: "/data", ...given });

test("what the box allows is admitted", () => {
  expect(judge({})).toBeUndefined();
  expect(judge({ template: { image: "registry.example/apps/a:2" } }, "docker")).toBeUndefined();
  expect(
    judge({ volumes: [volume({ hostPath: "/srv/known/new" }), volume({ name: "b", path: "/b" })] }),
  ).toBeUndefined();
});

test.for([
  { what: { template: { command: ["app"] } }, message: "template.command[0]: given app; allowed: /bin/app" },
  {
    what: { template: { command: ["/bin/../bin/sh"] } },
    message: "template.command[0]: given /bin/../bin/sh; allowed: /bin/app",
  },
  { what: { gpus: 1 }, message: "gpus: given 1; allowed with the platform process: none, it sees what the box has" },
  {
    what: { template: { command: ["/bin/app"], env: { DB_PASSWORD: MASK } } },
    message: "spec.template.env.DB_PASSWORD: given a mask; allowed: the secret itself",
  },
  {
    what: { template: ports({ port: 80 }, { port: 80 }) },
    message: "template.ports[1]: 80/tcp is that of ports[0] too; allowed: each port its own",
  },
  {
    what: { template: ports({ port: 80, name: "web" }, { port: 81, name: "web" }) },
    message: "template.ports[1]: web is that of ports[0] too; allowed: each port its own",
  },
  {
    what: { volumes: [volume({ readOnly: true })] },
    message: "volumes[0].readOnly: given true; allowed with the platform process: false, nothing keeps it from writing",
  },
  { what: { volumes: [volume({ path: "/" })] }, message: "volumes[0].path: given /; allowed: a path below the root" },
  {
    what: { volumes: [volume({}), volume({ path: "/other" })] },
    message: "volumes[1].name: data is there twice; allowed: each name once",
  },
  {
    what: { volumes: [volume({}), volume({ name: "b", path: "/data/b" })] },
    message: "volumes[1].path: /data/b and that of volumes[0] lie in one another; allowed: each its own",
  },
  {
    what: { volumes: [volume({ hostPath: "/etc" })] },
    message: "volumes[0].hostPath: given /etc; allowed: /srv and what lies below",
  },
  {
    what: { volumes: [volume({ hostPath: "/srv/link" })] },
    message: "volumes[0].hostPath: given /srv/link; allowed: /srv and what lies below",
  },
])("$message", ({ what, message }) => {
  expect(judge(what)?.message).toBe(message);
});

test("a container's volumes are where the container says, and an image is matched as a whole or by its beginning", () => {
  const image = { template: { image: "nginx:1" } };
  expect(judge({ ...image, volumes: [volume({ path: "data" })] }, "podman")?.message).toMatch(
    /allowed: an absolute path/,
  );
  expect(judge({ template: { image: "nginx" } }, "docker")).toEqual({
    rule: "policy.images",
    message: "template.image: given nginx; allowed: nginx:1, registry.example/apps/*",
  });
  expect(matchesEnding("*", "anything")).toBe(true);
});

test("two ports of one number with different protocols are two", () => {
  expect(judge({ template: ports({ port: 53 }, { port: 53, protocol: "udp" }) })).toBeUndefined();
});

test("fixed ports and directories that are written to are claimed, however they are spelt", () => {
  const claims = sessionClaims(
    {
      user: "anna",
      template: ports(
        { port: 80 },
        { port: 81, hostPort: 8081 },
        { port: 82, hostPort: 82, protocol: "udp", address: "::1" },
      ),
      volumes: [
        volume({ hostPath: "/srv/one/../two/" }),
        volume({ name: "r", path: "/r", hostPath: "/srv/three", readOnly: true }),
        volume({ name: "own", path: "/own" }),
      ],
    },
    "127.0.0.1",
  );
  expect(claims.map(({ kind, label }) => `${kind} ${label}`)).toEqual([
    "port tcp 127.0.0.1:8081",
    "port udp [::1]:82",
    "directory /srv/two",
  ]);
});
