import { dirname, resolve } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { AppError, messageOf } from "../../../base/errors.ts";
import type { ClientCertificate } from "../../../base/http-fetch.ts";

export interface ClusterCredentials {
  readonly server: string;
  /** PEM. Absent: the system's authorities. */
  readonly ca?: string | undefined;
  readonly token?: string | undefined;
  readonly certificate?: ClientCertificate | undefined;
}

/** Throws an `AppError` that names the path. */
export type ReadText = (path: string) => string;

const text = z.string().min(1).optional();
const clusterSchema = z.object({
  server: z.string(),
  "certificate-authority": text,
  "certificate-authority-data": text,
  "insecure-skip-tls-verify": z.boolean().optional(),
  "tls-server-name": text,
  "proxy-url": text,
});
const userSchema = z.object({
  token: text,
  tokenFile: text,
  "client-certificate": text,
  "client-certificate-data": text,
  "client-key": text,
  "client-key-data": text,
  exec: z.unknown().optional(),
  "auth-provider": z.unknown().optional(),
  username: text,
});
const kubeconfigSchema = z.object({
  "current-context": z.string(),
  contexts: z.array(z.object({ name: z.string(), context: z.object({ cluster: z.string(), user: z.string() }) })),
  clusters: z.array(z.object({ name: z.string(), cluster: clusterSchema })),
  users: z.array(z.object({ name: z.string(), user: userSchema })),
});

/** What a kubeconfig's current context says. Throws `config` for what it may not or cannot be; no message repeats a secret. */
export function parseKubeconfig(source: string, path: string, readText: ReadText): ClusterCredentials {
  const refuse = (field: string, allowed: string): never => {
    throw new AppError("config", `${path}: ${field}; allowed: ${allowed}`);
  };
  const config = read(source, path);
  const current = config["current-context"];
  const context = config.contexts.find(({ name }) => name === current)?.context;
  if (context === undefined) return refuse(`current-context ${current} is none of its contexts`, "one of them");
  const cluster = config.clusters.find(({ name }) => name === context.cluster)?.cluster;
  if (cluster === undefined) return refuse(`cluster ${context.cluster} is not in it`, "one of its clusters");
  const user = config.users.find(({ name }) => name === context.user)?.user;
  if (user === undefined) return refuse(`user ${context.user} is not in it`, "one of its users");

  if (!URL.canParse(cluster.server) || new URL(cluster.server).protocol !== "https:") {
    refuse(`server ${cluster.server}`, "an address that begins with https://");
  }
  if (cluster["insecure-skip-tls-verify"] === true) refuse("insecure-skip-tls-verify", "certificate-authority");
  for (const field of ["tls-server-name", "proxy-url"] as const) {
    if (cluster[field] !== undefined) refuse(`${field} is set`, "a server that is reached by its own name");
  }
  if (user.exec !== undefined || user["auth-provider"] !== undefined || user.username !== undefined) {
    refuse(`user ${context.user} signs in by a program or a password`, "token, tokenFile or client-certificate");
  }

  const fileOrData = (file: string | undefined, data: string | undefined): string | undefined => {
    if (data !== undefined) return Buffer.from(data, "base64").toString();
    return file === undefined ? undefined : readText(resolve(dirname(path), file));
  };
  const ca = fileOrData(cluster["certificate-authority"], cluster["certificate-authority-data"]);
  const cert = fileOrData(user["client-certificate"], user["client-certificate-data"]);
  const key = fileOrData(user["client-key"], user["client-key-data"]);
  if ((cert === undefined) !== (key === undefined)) refuse("a client certificate without its key", "both or neither");
  const token = user.tokenFile === undefined ? user.token : readText(resolve(dirname(path), user.tokenFile)).trim();
  if (token === undefined && cert === undefined) {
    refuse(`user ${context.user} shows nothing`, "token, tokenFile or client-certificate");
  }
  return {
    server: cluster.server,
    ca,
    token,
    certificate: cert === undefined || key === undefined ? undefined : { cert, key },
  };
}

function read(source: string, path: string): z.output<typeof kubeconfigSchema> {
  let value: unknown;
  try {
    value = parse(source);
  } catch (thrown) {
    // The parser shows the line that it stumbled over, which may be a token.
    throw new AppError("config", `${path}: is not YAML (${messageOf(thrown).split(" at ")[0]?.slice(0, 80) ?? ""})`);
  }
  const parsed = kubeconfigSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new AppError("config", `${path}: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "is no kubeconfig"}`);
}
