import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { createTestContext } from "./command-context.fake.ts";
import { runProgram } from "./program.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "sluice-cli-"));
});
afterEach(() => rm(home, { recursive: true }));

async function translate(text: string, ...flags: readonly string[]) {
  const file = join(home, "spec.yaml");
  await writeFile(file, text);
  const context = createTestContext(home);
  const exitCode = await runProgram(["session", "translate", "-f", file, ...flags], context);
  return { exitCode, out: context.out(), err: context.err() };
}

const WEB = `id: web
template:
  image: nginx:1.27
  env: {DB_PASSWORD: hunter-22, MODE: dark}
  ports: [{port: 80}]
volumes: [{name: data, path: /data}]
resources: {cpu: 500m, memory: 256Mi}
`;

test("an image becomes a container with its network, volumes and limits, and its secrets stay hidden", async () => {
  const { exitCode, out, err } = await translate(WEB);
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: "" });
  expect(JSON.parse(out)).toMatchObject({
    name: "sluice-web",
    network: { Name: "sluice-web" },
    volumes: [{ Name: "sluice-web-data" }],
    container: {
      Image: "nginx:1.27",
      Env: expect.arrayContaining(["DB_PASSWORD=***", "MODE=dark"]),
      HostConfig: { NanoCpus: 5e8, Memory: 2 ** 28, PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1" }] } },
    },
  });
  expect((await translate(WEB, "--show-secrets")).out).toContain("DB_PASSWORD=hunter-22");
  expect((await translate(WEB, "--address", "192.0.2.7")).out).toContain('"HostIp": "192.0.2.7"');
  expect(JSON.parse((await translate(WEB, "--platform", "podman")).out).container.Image).toBe("nginx:1.27");
});

test("a command becomes a process that is told where to listen", async () => {
  const text =
    "id: job\nuser: anna\ntemplate: {command: [/usr/bin/player, --loop], ports: [{name: web, port: 80}, {port: 90, hostPort: 9090}]}\n";
  expect(JSON.parse((await translate(text)).out)).toMatchObject({
    file: "/usr/bin/player",
    args: ["--loop"],
    cwd: "<state directory>/workloads/job/root",
    env: { USER: "anna", PORT: "21000", PORT_WEB: "21000", PORT_90: "9090", ADDRESS: "127.0.0.1" },
  });
});

test("what cannot be translated is told with its field", async () => {
  expect(await translate("id: job\ntemplate: {command: [x]}\n", "--platform", "docker")).toMatchObject({
    exitCode: 64,
    err: expect.stringContaining("template.image"),
  });
  expect(await translate(WEB, "--platform", "process")).toMatchObject({
    exitCode: 64,
    err: expect.stringContaining("template.command"),
  });
  expect(await translate("id: Job\ntemplate: {command: [x]}\n")).toMatchObject({
    exitCode: 78,
    err: expect.stringMatching(/spec\.yaml:1: id: .*small letters/),
  });
  expect(await translate("template: {command: [x]}\n")).toMatchObject({
    exitCode: 78,
    err: expect.stringContaining("id: given nothing"),
  });
  expect(await translate(WEB, "--address", "here")).toMatchObject({ exitCode: 64 });
});

test("a cluster is asked in YAML that kubectl takes, and no secret is hidden in Base64", async () => {
  const flags = ["--platform", "kubernetes", "--namespace", "apps"];
  const { exitCode, out, err } = await translate(WEB, ...flags);
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: "" });
  const documents = parseAllDocuments(out).map((document) => document.toJS());
  expect(documents.map(({ kind }) => kind)).toEqual(["PersistentVolumeClaim", "Secret", "Service", "Deployment"]);
  for (const { metadata } of documents) expect(metadata.namespace).toBe("apps");
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  expect(documents[1]).toMatchObject({ data: { DB_PASSWORD: base64("***") } });
  expect(out).toContain("# Secrets are masked");
  expect(out).not.toContain("hunter-22");
  const shown = (await translate(WEB, ...flags, "--show-secrets")).out;
  expect(shown).toContain(`DB_PASSWORD: ${base64("hunter-22")}`);
  expect(shown).not.toContain("masked");
  expect(await translate(WEB, "--platform", "kubernetes", "--namespace", "My apps")).toMatchObject({
    exitCode: 64,
    err: expect.stringContaining('--namespace: given "My apps"; allowed: 1 to 63'),
  });
  const http = WEB.replace("{port: 80}", "{port: 80, scheme: http}").replace(
    "id: web",
    "id: web\nplatform: kubernetes",
  );
  expect((await translate(http, "--ingress-host", "{{session}}.apps.example")).out).toContain("host: web.apps.example");
  expect(await translate(WEB.replace("port: 80", "port: 80, hostPort: 8080"), ...flags)).toMatchObject({
    exitCode: 69,
    err: expect.stringContaining("template.ports[0].hostPort: given 8080"),
  });
});
