import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { RunProgram } from "../../base/spawn.ts";
import type { Identity } from "./worker-tls.ts";

/** What a worker of this name shows to others, made by the real `openssl` in the directory. */
export async function makeWorkerIdentity(
  directory: string,
  name: string,
  { runProgram }: { readonly runProgram: RunProgram },
): Promise<Identity> {
  const [keyPath, certPath] = [join(directory, `${name}.key`), join(directory, `${name}.pem`)];
  const { code, stderr } = await runProgram(
    "openssl",
    ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"].concat([
      "-subj",
      `/CN=${name}-${randomBytes(3).toString("hex")}`,
      "-keyout",
      keyPath,
      "-out",
      certPath,
    ]),
    { timeoutMs: 30_000, maxOutputBytes: 10_000 },
  );
  if (code !== 0) throw new TypeError(`openssl: ${stderr}`);
  return { cert: readFileSync(certPath, "utf8"), key: readFileSync(keyPath, "utf8") };
}
