import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../../base/clock.ts";
import { AppError, errnoOf, messageOf } from "../../../base/errors.ts";
import type { HttpFetch, HttpTrust } from "../../../base/http-fetch.ts";
import { type ClusterCredentials, parseKubeconfig, type ReadText } from "./parse-kubeconfig.ts";

/** Where the API server is and what is shown to it, as its files say at the moment. */
export interface ClusterConnection {
  readonly server: URL;
  readonly token: string | undefined;
  readonly fetch: HttpFetch;
}

export interface ClusterAccess {
  /** Read again when it is a minute old: tokens and certificates are replaced under the same name. Throws `unavailable` or `config`. */
  current(): ClusterConnection;
  /** The API server does not take what was shown: the next look reads anew. */
  renew(): void;
}

const SERVICE_ACCOUNT_SERVER = "https://kubernetes.default.svc";
const MAX_AGE_MS = 60_000;

export interface ClusterAccessOptions {
  /** Absent: the service account of the pod that the agent runs in. */
  readonly kubeconfig: string | undefined;
  /** Where that lies. */
  readonly serviceAccount: string;
}

export function createClusterAccess(
  { kubeconfig, serviceAccount }: ClusterAccessOptions,
  deps: { readonly clock: Clock; readonly createFetch: (trust: HttpTrust) => HttpFetch },
): ClusterAccess {
  let known: { readonly atMs: number; readonly text: string; readonly connection: ClusterConnection } | undefined;
  let isOld = true;

  const read = (): ClusterCredentials =>
    kubeconfig === undefined
      ? readServiceAccount(serviceAccount)
      : parseKubeconfig(readText(kubeconfig), kubeconfig, readText);

  return {
    current: () => {
      const nowMs = deps.clock.monotonicMs();
      if (known !== undefined && !isOld && nowMs - known.atMs < MAX_AGE_MS) return known.connection;
      const credentials = read();
      const text = JSON.stringify(credentials);
      const connection =
        known?.text === text
          ? known.connection
          : {
              server: new URL(credentials.server),
              token: credentials.token,
              fetch: deps.createFetch({
                ...(credentials.ca === undefined ? {} : { ca: credentials.ca }),
                ...(credentials.certificate === undefined
                  ? {}
                  : { certificate: () => credentials.certificate ?? { cert: "", key: "" } }),
              }),
            };
      known = { atMs: nowMs, text, connection };
      isOld = false;
      return connection;
    },
    renew: () => {
      isOld = true;
    },
  };
}

function readServiceAccount(directory: string): ClusterCredentials {
  return {
    server: SERVICE_ACCOUNT_SERVER,
    ca: readText(join(directory, "ca.crt")),
    token: readText(join(directory, "token")).trim(),
  };
}

const readText: ReadText = (path) => {
  try {
    return readFileSync(path, "utf8");
  } catch (thrown) {
    const why = errnoOf(thrown) === "ENOENT" ? "not there" : messageOf(thrown);
    throw new AppError("unavailable", `${path}: ${why}`, { cause: thrown });
  }
};
