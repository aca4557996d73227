import { X509Certificate } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../../base/clock.ts";
import { createSpawner, type RunProgram } from "../../../base/spawn.ts";
import { certificateSchema } from "../../../contract/tunnel-spec.ts";
import { ownKeyPath, type TunnelFiles, tunnelFiles } from "./tunnel-files.ts";
import { loadAttackerKey, loadTunnelKey, readTunnelKeys, removeTunnelKeysExcept } from "./tunnel-keys.ts";

const { runProgram } = createSpawner({ ambient: process.env }, { clock: systemClock });
const { signal } = new AbortController();
const deps = { runProgram, signal };
let directory: string;
let files: TunnelFiles;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-keys-"));
  files = tunnelFiles(join(directory, "t1.producer"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const make = (generation: number, over = deps) =>
  loadTunnelKey({ files, uid: "t1", role: "producer", generation }, over);

test("a key is made once and kept", async () => {
  const first = await make(1);
  expect(await make(1)).toEqual(first);
  expect(certificateSchema.safeParse(first.pem).success).toBe(true);
  const certificate = new X509Certificate(first.pem);
  expect(certificate.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: "prime256v1" });
  expect(certificate.verify(certificate.publicKey)).toBe(true);
  expect(certificate.ca).toBe(false);
  expect([Date.parse(certificate.validFrom), new Date(certificate.validTo).getUTCFullYear()]).toEqual([0, 9999]);
  expect(first.sha256).toBe(certificate.fingerprint256.replaceAll(":", "").toLowerCase());
});

test("of several that ask for a key at a time all get the same, and it is the one that is kept", async () => {
  const [first, ...others] = await Promise.all([make(1), make(1), make(1)]);
  expect(others).toEqual([first, first]);
  expect(await make(1)).toEqual(first);
  expect(readdirSync(files.directory)).toEqual(["own-1.pem"]);
});

test("the key lies in one file of mode 0600 and nothing else is left", async () => {
  const { path } = await make(3);
  expect(path).toBe(ownKeyPath(files, 3));
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(files.directory)).toEqual(["own-3.pem"]);
});

test("no program ever gets the key as an argument or in its environment", async () => {
  const seen: string[] = [];
  const watched: RunProgram = (file, args, options) => {
    seen.push(file, ...args, ...Object.values(options.env ?? {}));
    return runProgram(file, args, options);
  };
  const { path } = await make(1, { runProgram: watched, signal });
  expect(seen.length).toBeGreaterThan(10);
  const [, secret = ""] = readFileSync(path, "utf8").split("\n");
  expect(secret.length).toBeGreaterThan(30);
  expect(seen.join("\n")).not.toContain(secret);
});

test("generations are different, listed oldest first, and forgotten when asked", async () => {
  const made = [await make(1), await make(2), await make(10)];
  expect(new Set(made.map(({ sha256 }) => sha256)).size).toBe(3);
  expect((await readTunnelKeys(files)).map(({ generation }) => generation)).toEqual([1, 2, 10]);
  await removeTunnelKeysExcept(files, [2, 10]);
  expect(await readTunnelKeys(files)).toEqual(made.slice(1));
});

test("a file that holds no whole key is made anew", async () => {
  const { sha256 } = await make(1);
  for (const damaged of [
    "",
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n",
  ]) {
    writeFileSync(ownKeyPath(files, 1), damaged);
    expect((await make(1)).sha256).not.toBe(sha256);
  }
});

test("the attacker calls himself like the one he attacks, with another key", async () => {
  const { pem, sha256 } = await make(1);
  const attacker = await loadAttackerKey({ files, likeness: pem }, deps);
  const certificate = new X509Certificate(attacker);
  expect(certificate.subject).toBe(new X509Certificate(pem).subject);
  expect(certificate.fingerprint256.replaceAll(":", "").toLowerCase()).not.toBe(sha256);
  expect(await loadAttackerKey({ files, likeness: pem }, deps)).toBe(attacker);
  expect(await loadAttackerKey({ files, likeness: undefined }, deps)).not.toBe(attacker);
});

test("without openssl the key is unavailable, and it says what to install", async () => {
  const absent: RunProgram = (_file, args, options) => runProgram(join(directory, "no-openssl"), args, options);
  await expect(make(1, { runProgram: absent, signal })).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringMatching(/the tunnel's key cannot be made: .*Install openssl/),
  });
  expect(readdirSync(files.directory)).toEqual([]);
});
