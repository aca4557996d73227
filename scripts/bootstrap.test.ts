import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

const BOOTSTRAP = new URL("bootstrap.sh", import.meta.url).pathname;
let directory: string;
let bin: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-bootstrap-"));
  bin = join(directory, "bin");
  await mkdir(bin);
  // Only these programs of the real machine can be found.
  for (const name of ["bash", "dirname", "readlink", "flock", "cat", "uname", "env"]) {
    await symlink(`/usr/bin/${name}`, join(bin, name)).catch(() => undefined);
  }
});
afterEach(() => rm(directory, { recursive: true }));

/** A program that notes how it was called, then does what `body` says. */
async function fakeProgram(name: string, body = ""): Promise<void> {
  await writeFile(join(bin, name), `#!/usr/bin/bash\nprintf '%s\\n' "${name} $*" >>"${directory}/calls"\n${body}\n`);
  await chmod(join(bin, name), 0o755);
}

const calls = async () => (await readFile(join(directory, "calls"), "utf8").catch(() => "")).trim().split("\n");

/** A checkout with this lock and these installed packages. */
async function makeCheckout(locked: object, installed: object | undefined): Promise<string> {
  const root = join(directory, "checkout");
  await mkdir(join(root, "scripts"), { recursive: true });
  await writeFile(join(root, "scripts/bootstrap.sh"), await readFile(BOOTSTRAP, "utf8"));
  await writeFile(join(root, "package-lock.json"), JSON.stringify({ packages: { "": {}, ...locked } }));
  if (installed !== undefined) {
    await mkdir(join(root, "node_modules/.bin"), { recursive: true });
    await symlink(process.execPath, join(root, "node_modules/.bin/node"));
    await writeFile(join(root, "node_modules/.package-lock.json"), JSON.stringify({ packages: installed }));
  }
  return root;
}

function run(command: string, script = BOOTSTRAP): Promise<{ code: number; err: string }> {
  return new Promise((resolve) => {
    execFile(
      "/usr/bin/bash",
      ["--norc", "-euo", "pipefail", "-c", `. "${script}"; ${command}`],
      { env: { PATH: bin } },
      (error, _out, err) => resolve({ code: typeof error?.code === "number" ? error.code : 0, err }),
    );
  });
}

const NPM = `mkdir -p node_modules/.bin && ln -sf ${process.execPath} node_modules/.bin/node`;
const inCheckout = (root: string) => run("need_npm_packages", join(root, "scripts/bootstrap.sh"));

test("packages that are those of the lock are left alone; ones for other machines are not missed", async () => {
  const locked = { "node_modules/a": { version: "1.0.0" }, "node_modules/arm": { version: "1.0.0", optional: true } };
  const root = await makeCheckout(locked, { "node_modules/a": { version: "1.0.0" } });
  await fakeProgram("npm");
  expect(await inCheckout(root)).toEqual({ code: 0, err: "" });
  expect(await calls()).toEqual([""]);
});

test.each([
  ["a changed version", { "node_modules/a": { version: "0.9.0" } }, "are not those of package-lock.json"],
  ["a missing package", {}, "are not those of package-lock.json"],
  ["nothing", undefined, "Installing the npm packages"],
])("%s is installed by npm ci, after saying so", async (_, installed, said) => {
  const root = await makeCheckout({ "node_modules/a": { version: "1.0.0" } }, installed);
  await symlink("/usr/bin/mkdir", join(bin, "mkdir"));
  await symlink("/usr/bin/ln", join(bin, "ln"));
  await fakeProgram("npm", NPM);
  const { code, err } = await inCheckout(root);
  expect(err).toContain(said);
  expect(code).toBe(0);
  expect(await calls()).toEqual(["npm ci --no-audit --no-fund --loglevel=error"]);
});

test("a failing npm, and no npm at all, say what to do", async () => {
  const root = await makeCheckout({ "node_modules/a": { version: "1.0.0" } }, undefined);
  expect(await inCheckout(root)).toMatchObject({ code: 1, err: expect.stringContaining("npm is not installed") });
  await fakeProgram("npm", "exit 1");
  expect(await inCheckout(root)).toMatchObject({ code: 1, err: expect.stringContaining("npm ci failed") });
});

test("Debian packages that are there, installed or put there by hand, need nothing", async () => {
  await fakeProgram("ffmpeg");
  await fakeProgram("dpkg-query", "echo -n installed");
  await fakeProgram("apt-get");
  expect(await run("need_debian ffmpeg chromium")).toEqual({ code: 0, err: "" });
  expect((await calls()).filter((call) => call.startsWith("apt-get"))).toEqual([]);
});

test("root installs what is missing, without questions, after saying what and why", async () => {
  await fakeProgram("dpkg-query", "exit 1");
  await fakeProgram("apt-get");
  await fakeProgram("id", "echo 0");
  const { code, err } = await run("need_debian ffmpeg chromium");
  expect(code).toBe(0);
  expect(err).toContain("ffmpeg (runs the streams)");
  expect((await calls()).filter((call) => call.startsWith("apt-get"))).toEqual([
    "apt-get update -qq",
    "apt-get install -qq --yes --no-install-recommends -o DPkg::Lock::Timeout=120 ffmpeg chromium",
  ]);
});

test("others install with sudo, which asks nothing where there is no terminal", async () => {
  await fakeProgram("dpkg-query", "exit 1");
  await fakeProgram("apt-get");
  await fakeProgram("id", "echo 1000");
  await fakeProgram("sudo", '[ "$1" = -n ] && shift; exec "$@"');
  expect((await run("need_debian ffmpeg")).code).toBe(0);
  expect(await calls()).toContain("sudo -n env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get update -qq");
});

test("no root and no sudo, no Debian, and a failing apt-get each say so and fail", async () => {
  await fakeProgram("dpkg-query", "exit 1");
  expect(await run("need_debian ffmpeg")).toMatchObject({
    code: 1,
    err: expect.stringContaining("neither Debian nor Ubuntu"),
  });
  await fakeProgram("apt-get", "exit 100");
  await fakeProgram("id", "echo 1000");
  expect(await run("need_debian ffmpeg")).toMatchObject({ code: 1, err: expect.stringContaining("there is no sudo") });
  await fakeProgram("id", "echo 0");
  expect(await run("need_debian ffmpeg")).toMatchObject({ code: 1, err: expect.stringContaining("apt-get failed") });
});
