import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { HUB_OPTIONS, hubEnvironmentName } from "../src/config/hub-options-table.ts";

const ROOT = resolve(import.meta.dirname, "..");
const textOf = (path: string) => readFileSync(join(ROOT, path), "utf8");
const known = new Set(Object.keys(HUB_OPTIONS).map(hubEnvironmentName));
const namesIn = (text: string) => new Set(text.match(/SLUICE_HUB_[A-Z_]+/g));

describe("the container file", () => {
  const steps = textOf("packaging/container/Containerfile")
    .replaceAll("\\\n", " ")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));

  test("copies only what a checkout has, or what an earlier stage made", () => {
    const copies = steps.filter((step) => step.startsWith("COPY ") && !step.includes("--from="));
    const sources = copies.flatMap((step) => step.split(/\s+/).slice(1, -1));
    expect(sources.length).toBeGreaterThan(3);
    expect(sources.filter((source) => !existsSync(join(ROOT, source)))).toEqual([]);
  });

  test("knows each instruction, pins its images, and ends as no root", () => {
    const instructions = steps.map((step) => step.split(" ")[0]);
    const allowed = [
      "FROM",
      "WORKDIR",
      "COPY",
      "RUN",
      "ENV",
      "VOLUME",
      "USER",
      "EXPOSE",
      "STOPSIGNAL",
      "HEALTHCHECK",
      "ENTRYPOINT",
      "CMD",
    ];
    expect(instructions.filter((name) => !allowed.includes(name ?? ""))).toEqual([]);
    for (const step of steps.filter((line) => line.startsWith("FROM "))) expect(step).toMatch(/^FROM \S+\/\S+:[\w.-]+/);
    expect(steps.findLast((step) => step.startsWith("USER "))).toBe("USER node");
  });

  test("asks a hub whether it is ready in a program that Node can run", () => {
    const json = /CMD (\["node".*\])/.exec(steps.find((step) => step.startsWith("HEALTHCHECK")) ?? "")?.[1] ?? "";
    const [, ...args] = JSON.parse(json) as string[];
    expect(spawnSync(process.execPath, args, { env: { SLUICE_HUB_TLS_MODE: "off" }, timeout: 10_000 }).status).toBe(1);
  });

  test("sets only options that the hub has", () => {
    expect([...namesIn(steps.join("\n"))].filter((name) => !known.has(name))).toEqual([]);
  });
});

describe("the compose file", () => {
  const text = textOf("packaging/container/compose.yaml");
  const compose = parse(text, { merge: true });

  test("runs two equal hubs over one Redis behind a balancer", () => {
    const { "hub-1": one, "hub-2": other, redis, balancer } = compose.services;
    const { volumes: _one, ...first } = one;
    const { volumes: _other, ...second } = other;
    expect(first).toEqual(second);
    expect(first.depends_on.redis.condition).toBe("service_healthy");
    expect(redis.command.at(-1)).toContain("appendfsync always");
    expect(balancer.ports).toEqual(["8443:8443"]);
    expect(existsSync(join(ROOT, "packaging/container", first.build.context, first.build.dockerfile))).toBe(true);
  });

  test("names only volumes, secrets and options that there are", () => {
    const services: { secrets?: string[]; volumes?: string[] }[] = Object.values(compose.services);
    const secrets = services.flatMap((service) => service.secrets ?? []);
    expect(secrets.filter((name) => !(name in compose.secrets))).toEqual([]);
    const volumes = services.flatMap((service) => service.volumes ?? []).map((volume) => volume.split(":")[0] ?? "");
    expect(volumes.filter((name) => !name.startsWith("./") && !(name in compose.volumes))).toEqual([]);
    expect([...namesIn(text)].filter((name) => !known.has(name))).toEqual([]);
  });

  test("puts no secret into an argument or an environment", () => {
    for (const { environment } of Object.values<{ environment?: Record<string, string> }>(compose.services)) {
      for (const [name, value] of Object.entries(environment ?? {})) {
        if (/PASSWORD|KEY|TOKEN/.test(name)) expect(value).toMatch(/^\/run\/secrets\//);
      }
    }
    expect(text).not.toMatch(/--requirepass/);
  });
});

const hasVerify = spawnSync("systemd-analyze", ["--version"]).status === 0;

test.skipIf(!hasVerify)("systemd finds nothing to say of the hub's unit", () => {
  // Without the program in its place it would say so; everything else is read as it is.
  const unit = textOf("packaging/sluice-hub.service").replace("/usr/bin/sluice hub", "/bin/true hub");
  const directory = mkdtempSync(join(tmpdir(), "sluice-unit-"));
  writeFileSync(join(directory, "sluice-hub.service"), unit);
  const verify = ["verify", "--man=no", join(directory, "sluice-hub.service")];
  const { stderr } = spawnSync("systemd-analyze", verify, { encoding: "utf8", timeout: 20_000 });
  rmSync(directory, { recursive: true });
  expect(stderr.split("\n").filter((line) => line.includes("sluice-hub"))).toEqual([]);
});
