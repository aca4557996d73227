import { randomBytes, X509Certificate } from "node:crypto";
import { link, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile, syncDirectory } from "../../../base/atomic-file.ts";
import { AppError, errnoOf, messageOf } from "../../../base/errors.ts";
import type { RunProgram } from "../../../base/spawn.ts";
import { fromSystemError } from "../../../base/system-error.ts";
import type { TunnelRole } from "../../../contract/tunnel-spec.ts";
import { ownKeyPath, type TunnelFiles } from "./tunnel-files.ts";

/** The public part of an own key. */
export interface TunnelKey {
  readonly generation: number;
  /** The certificate alone. */
  readonly pem: string;
  /** Of the certificate's DER form, 64 lower-case hexadecimal digits. */
  readonly sha256: string;
  /** Key and certificate, mode 0600. */
  readonly path: string;
}

export interface TunnelKeyRequest {
  readonly files: TunnelFiles;
  readonly uid: string;
  readonly role: TunnelRole;
  readonly generation: number;
}

export interface TunnelKeyDeps {
  readonly runProgram: RunProgram;
  readonly signal: AbortSignal;
}

/**
 * stunnel refuses a pinned certificate before and after its days. The pin is what counts: no clock, not even one that
 * stands at its beginning, may cut a tunnel. (The last is RFC 5280's "no end".)
 */
const VALID_FROM = "19700101000000Z";
const VALID_TO = "99991231235959Z";
const OPENSSL_LIMITS = { timeoutMs: 30_000, maxOutputBytes: 16_384 };
const OWN_NAME = /^own-([1-9]\d*)\.pem$/;

/**
 * The own key of a generation: the one on disk, or a new one (EC P-256, about 20 ms). Of several that are made at a time one
 * is kept, and all callers get that. Rejects with `unavailable` when openssl cannot make it, `storage` or `refused` when the directory
 * does not take it.
 */
export async function loadTunnelKey(request: TunnelKeyRequest, deps: TunnelKeyDeps): Promise<TunnelKey> {
  const held = await readKey(request.files, request.generation);
  if (held !== undefined) return held;
  // Of two pinned certificates with one name OpenSSL would find only the first.
  const unique = randomBytes(4).toString("hex");
  const name = `${request.role} ${request.generation} ${unique} ${request.uid}`.slice(0, 64);
  const path = ownKeyPath(request.files, request.generation);
  // What is there cannot be used.
  await rm(path, { force: true });
  await makeKey({ ...request, name, path, keepsFirst: true }, deps);
  const made = await readKey(request.files, request.generation);
  if (made !== undefined) return made;
  throw new AppError("internal", `the key that openssl made for tunnel ${request.uid} cannot be read`);
}

/**
 * A key that no end knows, with a certificate of the same name as the given one: only who compares the whole of it tells
 * them apart. Text of both in PEM. Kept for the next attack.
 */
export async function loadAttackerKey(
  { files, likeness }: { readonly files: TunnelFiles; readonly likeness: string | undefined },
  deps: TunnelKeyDeps,
): Promise<string> {
  const name = likeness === undefined ? "attacker" : (commonName(likeness) ?? "attacker");
  const held = await readFile(files.attackerPath, "utf8").catch(() => undefined);
  if (held !== undefined && commonName(held) === name) return held;
  await makeKey({ files, name, path: files.attackerPath, keepsFirst: false }, deps);
  return await readFile(files.attackerPath, "utf8");
}

function commonName(pem: string): string | undefined {
  try {
    return /^CN=(.*)$/m.exec(new X509Certificate(pem).subject)?.[1];
  } catch {
    return undefined;
  }
}

/** Every generation on disk that can be used, oldest first. */
export async function readTunnelKeys(files: TunnelFiles): Promise<readonly TunnelKey[]> {
  const generations = await generationsOnDisk(files);
  const keys = await Promise.all(generations.map((generation) => readKey(files, generation)));
  return keys.filter((key) => key !== undefined);
}

/** Forgets every generation but these. */
export async function removeTunnelKeysExcept(files: TunnelFiles, kept: readonly number[]): Promise<void> {
  for (const generation of await generationsOnDisk(files)) {
    if (!kept.includes(generation)) await rm(ownKeyPath(files, generation), { force: true });
  }
}

async function generationsOnDisk({ directory }: TunnelFiles): Promise<readonly number[]> {
  try {
    const names = await readdir(directory);
    return names
      .flatMap((name) => OWN_NAME.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((one, other) => one - other);
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return [];
    throw fromSystemError(thrown, `cannot list ${directory}`);
  }
}

/** `undefined` where there is none, or none that fits together: then a new one has to be made. */
async function readKey(files: TunnelFiles, generation: number): Promise<TunnelKey | undefined> {
  const path = ownKeyPath(files, generation);
  try {
    const text = await readFile(path, "utf8");
    const pem = /-----BEGIN CERTIFICATE-----\n[^-]+-----END CERTIFICATE-----\n/.exec(text)?.[0];
    if (pem === undefined || !text.includes("PRIVATE KEY-----")) return undefined;
    return { generation, pem, sha256: sha256Of(pem), path };
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    if (errnoOf(thrown)?.startsWith("ERR_OSSL") === true) return undefined;
    throw fromSystemError(thrown, `cannot read ${path}`);
  }
}

/** SHA-256 of a certificate in PEM form, 64 lower-case hexadecimal digits. */
export function sha256Of(pem: string): string {
  return new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
}

interface NewKey {
  readonly files: TunnelFiles;
  /** Of the certificate: at most 64 characters. */
  readonly name: string;
  readonly path: string;
  /** One that is there by then stays; else it is replaced. */
  readonly keepsFirst: boolean;
}

async function makeKey({ files, name, path, keepsFirst }: NewKey, deps: TunnelKeyDeps): Promise<void> {
  const { directory } = files;
  let temporary: string | undefined;
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    // Mode 0700: nobody else sees the key while openssl writes it.
    temporary = await mkdtemp(join(directory, "making-"));
    await writeFile(join(temporary, "openssl.cnf"), `${opensslConfig(name).join("\n")}\n`, { mode: 0o600 });
    await writeFile(join(temporary, "issued.txt"), "", { mode: 0o600 });
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256"];
    await openssl(
      ["req", "-new", ...curve, "-config", "openssl.cnf", "-keyout", "key.pem", "-out", "request.pem"],
      temporary,
      deps,
    );
    // Of all commands of openssl 3.0 only `ca` lets both dates be chosen.
    const sign = [
      "-selfsign",
      "-batch",
      "-notext",
      "-config",
      "openssl.cnf",
      "-keyfile",
      "key.pem",
      "-in",
      "request.pem",
    ];
    const days = ["-startdate", VALID_FROM, "-enddate", VALID_TO];
    await openssl(["ca", ...sign, ...days, "-out", "certificate.pem"], temporary, deps);
    const [key, certificate] = await Promise.all([
      readFile(join(temporary, "key.pem"), "utf8"),
      readFile(join(temporary, "certificate.pem"), "utf8"),
    ]);
    const text = `${key.trim()}\n${certificate.trim()}\n`;
    if (!keepsFirst) {
      await replaceFile(path, text, false);
      return;
    }
    const whole = join(temporary, "whole.pem");
    await replaceFile(whole, text, false);
    await link(whole, path).catch((thrown: unknown) => {
      if (errnoOf(thrown) !== "EEXIST") throw thrown;
    });
    await syncDirectory(directory);
  } catch (thrown) {
    deps.signal.throwIfAborted();
    if (thrown instanceof AppError) throw thrown;
    throw fromSystemError(thrown, `cannot keep a key in ${directory}`);
  } finally {
    if (temporary !== undefined) await rm(temporary, { recursive: true, force: true });
  }
}

function opensslConfig(name: string): string[] {
  return [
    "[req]",
    "distinguished_name = name",
    "prompt = no",
    "[name]",
    `CN = ${name}`,
    "[ca]",
    "default_ca = self",
    "[self]",
    "database = issued.txt",
    "rand_serial = yes",
    "default_md = sha256",
    "policy = any",
    "new_certs_dir = .",
    "x509_extensions = extensions",
    "[any]",
    "commonName = supplied",
    "[extensions]",
    "basicConstraints = critical,CA:FALSE",
    "keyUsage = critical,digitalSignature",
    "extendedKeyUsage = serverAuth,clientAuth",
    "subjectKeyIdentifier = hash",
  ];
}

async function openssl(args: readonly string[], cwd: string, { runProgram, signal }: TunnelKeyDeps): Promise<void> {
  try {
    const result = await runProgram("openssl", args, { ...OPENSSL_LIMITS, cwd, signal });
    if (result.code === 0) return;
    throw new AppError("unavailable", `openssl ${args[0]} failed: ${result.stderr.trim().slice(-500)}`);
  } catch (thrown) {
    signal.throwIfAborted();
    throw new AppError("unavailable", `the tunnel's key cannot be made: ${messageOf(thrown)}. Install openssl`, {
      cause: thrown,
    });
  }
}
