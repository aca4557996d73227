import { X509Certificate } from "node:crypto";
import { chmod, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { AppError, errnoOf, messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { RunProgram } from "../../base/spawn.ts";

export interface ServerIdentity {
  /** PEM: the server's certificate and after it the authority's. */
  readonly cert: string;
  readonly key: string;
  /** SHA-256 of the authority's certificate (DER), as hex. */
  readonly caSha256: string;
  readonly caFile: string;
}

export interface GeneratedCaOptions {
  /** Exists, mode 0700. */
  readonly directory: string;
  /** Host names and addresses that the server is reached by. */
  readonly names: readonly string[];
}

export interface GeneratedCaDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly runProgram: RunProgram;
}

const CA_DAYS = 3650;
const SERVER_DAYS = 397;
const RENEW_BEFORE_MS = 30 * 86_400_000;

/**
 * An authority of the hub's own, made at the first start and kept, and a server certificate by it, made anew when its
 * names change or it ends within thirty days. Node can read certificates and not make them: `openssl` makes them.
 */
export async function loadGeneratedIdentity(
  { directory, names }: GeneratedCaOptions,
  deps: GeneratedCaDeps,
): Promise<ServerIdentity> {
  const folder = join(directory, "tls");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const files = {
    caCert: join(folder, "ca.pem"),
    caKey: join(folder, "ca.key"),
    cert: join(folder, "server.pem"),
    key: join(folder, "server.key"),
  };
  if ((await readPem(files.caCert)) === undefined || (await readPem(files.caKey)) === undefined) {
    await makeAuthority(folder, files, deps);
    deps.log.info(`Made a certificate authority of this hub's own: ${files.caCert}`);
  }
  const ca = new X509Certificate(await readFile(files.caCert));
  const wanted = [...new Set(names)].sort();
  const held = await readPem(files.cert);
  if (held === undefined || !isGood(held, { ca, wanted, nowMs: deps.clock.wallMs() })) {
    await makeServerCertificate(folder, files, { ...deps, names: wanted });
    deps.log.info(`Made a server certificate for ${wanted.join(", ")}`);
  }
  const [cert, caPem, key] = await Promise.all([
    readFile(files.cert, "utf8"),
    readFile(files.caCert, "utf8"),
    readFile(files.key, "utf8"),
  ]);
  return { cert: `${cert.trim()}\n${caPem}`, key, caSha256: fingerprintOf(ca), caFile: files.caCert };
}

export function fingerprintOf(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(":", "").toLowerCase();
}

interface Files {
  readonly caCert: string;
  readonly caKey: string;
  readonly cert: string;
  readonly key: string;
}

function isGood(
  pem: string,
  by: { readonly ca: X509Certificate; readonly wanted: readonly string[]; readonly nowMs: number },
): boolean {
  const certificate = new X509Certificate(pem);
  const endMs = Date.parse(certificate.validTo);
  const hasNames = by.wanted.every((name) =>
    isIP(name) === 0 ? certificate.checkHost(name) !== undefined : certificate.checkIP(name) !== undefined,
  );
  return certificate.verify(by.ca.publicKey) && hasNames && endMs - by.nowMs > RENEW_BEFORE_MS;
}

async function makeAuthority(folder: string, files: Files, deps: GeneratedCaDeps): Promise<void> {
  const config = [
    "[req]",
    "distinguished_name = dn",
    "x509_extensions = ext",
    "prompt = no",
    "[dn]",
    "CN = Sluice hub authority",
    "[ext]",
    "basicConstraints = critical,CA:TRUE,pathlen:0",
    "keyUsage = critical,keyCertSign,cRLSign",
    "subjectKeyIdentifier = hash",
  ];
  await inTemporary(folder, "ca", config, async (temporary) => {
    const parts = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256"];
    const places = ["-days", String(CA_DAYS), "-keyout", temporary.key, "-out", temporary.cert];
    await openssl(["req", ...parts, "-config", temporary.config, ...places], deps);
    // The key first: a certificate without its key is made again, a key without its certificate is thrown away.
    await rename(temporary.key, files.caKey);
    await rename(temporary.cert, files.caCert);
  });
}

async function makeServerCertificate(
  folder: string,
  files: Files,
  deps: GeneratedCaDeps & { readonly names: readonly string[] },
): Promise<void> {
  const names = deps.names.map((name) => (isIP(name) === 0 ? `DNS:${name}` : `IP:${name}`));
  const config = [
    "[req]",
    "distinguished_name = dn",
    "prompt = no",
    "[dn]",
    "CN = Sluice hub",
    "[ext]",
    "basicConstraints = critical,CA:FALSE",
    "keyUsage = critical,digitalSignature",
    "extendedKeyUsage = serverAuth",
    `subjectAltName = ${names.join(",")}`,
    "subjectKeyIdentifier = hash",
    "authorityKeyIdentifier = keyid",
  ];
  await inTemporary(folder, "server", config, async (temporary) => {
    const parts = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256"];
    await openssl(
      ["req", ...parts, "-config", temporary.config, "-keyout", temporary.key, "-out", temporary.request],
      deps,
    );
    const sign = ["x509", "-req", "-sha256", "-in", temporary.request, "-CA", files.caCert, "-CAkey", files.caKey];
    const form = ["-days", String(SERVER_DAYS), "-extfile", temporary.config, "-extensions", "ext"];
    await openssl([...sign, ...form, "-CAserial", temporary.serial, "-CAcreateserial", "-out", temporary.cert], deps);
    await rename(temporary.key, files.key);
    await rename(temporary.cert, files.cert);
  });
}

interface Temporary {
  readonly config: string;
  readonly key: string;
  readonly cert: string;
  readonly request: string;
  readonly serial: string;
}

async function inTemporary(
  folder: string,
  name: string,
  config: readonly string[],
  work: (temporary: Temporary) => Promise<void>,
): Promise<void> {
  const at = (ending: string) => join(folder, `${name}.new.${ending}`);
  const temporary: Temporary = {
    config: at("cnf"),
    key: at("key"),
    cert: at("pem"),
    request: at("csr"),
    serial: at("srl"),
  };
  try {
    await writeFile(temporary.config, `${config.join("\n")}\n`, { mode: 0o600 });
    await writeFile(temporary.key, "", { mode: 0o600 });
    await work(temporary);
  } finally {
    for (const path of Object.values(temporary)) await rm(path, { force: true });
  }
  for (const file of [`${name}.key`]) await chmod(join(folder, file), 0o600);
}

async function openssl(args: readonly string[], { runProgram }: GeneratedCaDeps): Promise<void> {
  try {
    const result = await runProgram("openssl", args, { timeoutMs: 30_000, maxOutputBytes: 16_384 });
    if (result.code === 0) return;
    throw new AppError("config", `openssl ${args[0]} failed: ${result.stderr.trim().slice(-500)}`);
  } catch (thrown) {
    throw new AppError(
      "config",
      `the hub's certificate cannot be made: ${messageOf(thrown)}. Install openssl, or give a certificate (tls.mode files), or leave TLS to a proxy (tls.mode off)`,
      { field: "tls.mode", cause: thrown },
    );
  }
}

async function readPem(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw new AppError("storage", `${path} cannot be read: ${messageOf(thrown)}`, { cause: thrown });
  }
}
