import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { systemClock } from "../../src/base/clock.ts";
import { AppError } from "../../src/base/errors.ts";
import { type ClusterObject, type ObjectKind, RESOURCES } from "./cluster-object.ts";
import { createKubelet, type Kubelet } from "./kubelet.ts";
import { createObjectStore, type ObjectStore, type Refused } from "./object-store.ts";

/** A Kubernetes API server with a node behind it: what Sluice asks of one, over HTTPS, and every way in which one misbehaves. */
export interface FakeCluster extends AsyncDisposable {
  readonly store: ObjectStore;
  readonly kubelet: Kubelet;
  readonly faults: ClusterFaults;
  /** Signs in by a token in a file of its own. */
  readonly kubeconfig: string;
  /** Signs in by a client certificate. */
  readonly certificateKubeconfig: string;
  /** `PATCH /apis/apps/v1/…?…`, in order. */
  readonly requests: readonly string[];
  /** What it was given and would not take. */
  readonly refusals: readonly string[];
  /** Cores and bytes of each session; empty: the cluster measures nothing. */
  readonly metrics: Map<string, { readonly cpu: string; readonly memory: string }>;
  openWatches(): number;
  /** Breaks the connection of each. */
  dropWatches(): void;
  /** The old one is worth nothing from now on. */
  rotateToken(): void;
  stop(): Promise<void>;
  start(): Promise<void>;
}

export interface ClusterFaults {
  /** So many of the next writes cross another. */
  conflicts: number;
  /** So many of the next requests are too many. */
  throttled: number;
  /** Before each answer. */
  slowMs: number;
}

const NAMESPACE = "apps";

export async function startFakeCluster(): Promise<FakeCluster> {
  const directory = mkdtempSync(join(tmpdir(), "sluice-cluster-"));
  const identity = makeCertificate(directory);
  const store = createObjectStore();
  const kubelet = createKubelet(store);
  const faults: ClusterFaults = { conflicts: 0, throttled: 0, slowMs: 0 };
  const requests: string[] = [];
  const refusals: string[] = [];
  const metrics: FakeCluster["metrics"] = new Map();
  const watches = new Set<ServerResponse>();
  const sockets = new Set<Duplex>();
  const tokenFile = join(directory, "token");
  let token = "first-token-of-the-cluster";
  let server: Server | undefined;
  let port = 0;
  writeFileSync(tokenFile, token);

  const answer = (response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  };
  const refuse = (response: ServerResponse, { status, message }: Refused, headers: Record<string, string> = {}) => {
    if (status === 422 || status === 400) refusals.push(message);
    answer(response, status, { kind: "Status", apiVersion: "v1", status: "Failure", message, code: status }, headers);
  };

  const watch = (response: ServerResponse, kind: ObjectKind, query: URLSearchParams) => {
    const from = Number(query.get("resourceVersion") ?? store.version());
    const matches = matcherOf(query);
    if (from < store.oldest()) {
      // Real ones do either.
      const gone = { kind: "Status", status: "Failure", message: "too old resource version", code: 410 };
      if (from % 2 === 0) return answer(response, 410, gone);
      response.writeHead(200, { "content-type": "application/json" });
      return response.end(`${JSON.stringify({ type: "ERROR", object: gone })}\n`);
    }
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    watches.add(response);
    let reached = from;
    const send = () => {
      for (const { type, object, version } of store.since(reached)) {
        reached = version;
        if (object.kind === kind && matches(object)) response.write(`${JSON.stringify({ type, object })}\n`);
      }
      const bookmark = { kind, metadata: { resourceVersion: String(reached) } };
      if (query.get("allowWatchBookmarks") === "true") {
        response.write(`${JSON.stringify({ type: "BOOKMARK", object: bookmark })}\n`);
      }
    };
    const leave = store.onChange(send);
    send();
    response.on("close", () => {
      leave();
      watches.delete(response);
    });
    return undefined;
  };

  const log = (response: ServerResponse, pod: string, query: URLSearchParams) => {
    const held = kubelet.logs(pod, query.get("previous") === "true");
    if (held === undefined) {
      return refuse(response, { status: 400, message: `container "session" in pod "${pod}" is waiting to start` });
    }
    const since = Date.parse(query.get("sinceTime") ?? "1970-01-01T00:00:00Z");
    let sent = 0;
    response.writeHead(200, { "content-type": "text/plain" });
    response.flushHeaders();
    const send = () => {
      for (const { time, text } of held.lines.slice(sent)) {
        sent += 1;
        if (Date.parse(time) >= since) response.write(`${time} ${text}\n`);
      }
      if (held.isOver || query.get("follow") !== "true") response.end();
    };
    held.onChange.add(send);
    response.on("close", () => held.onChange.delete(send));
    send();
    return undefined;
  };

  const patch = (kind: ObjectKind, name: string, { type, body, query }: Patch): ClusterObject | Refused => {
    if (type === "application/merge-patch+json") return store.merge(kind, name, body);
    if (type !== "application/apply-patch+yaml") return { status: 415, message: `${type} is not supported` };
    if (query.get("fieldManager") === null) return { status: 400, message: "fieldManager is required for apply patch" };
    const object = body as ClusterObject;
    if (object.metadata.name !== name) return { status: 400, message: "the name does not match the URL" };
    const result = store.apply(kind, object);
    return result;
  };

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? "/", "https://cluster");
    const { pathname, searchParams: query } = url;
    const text = await readBody(request);
    requests.push(`${request.method} ${pathname}${query.get("watch") === "true" ? " watch" : ""}`);
    if (faults.slowMs > 0) await systemClock.delay(faults.slowMs);
    const isSignedIn = request.headers.authorization === `Bearer ${token}` || (request.socket as TLSSocket).authorized;
    if (!isSignedIn) return refuse(response, { status: 401, message: "Unauthorized" });
    if (faults.throttled > 0) {
      faults.throttled -= 1;
      return refuse(response, { status: 429, message: "too many requests" }, { "retry-after": "1" });
    }
    if (pathname === "/version") return answer(response, 200, { gitVersion: "v1.30.4+fake" });
    const measured = /^\/apis\/metrics\.k8s\.io\/v1beta1\/namespaces\/apps\/pods\/([^/]+)$/.exec(pathname)?.[1];
    if (measured !== undefined) {
      const session = store.get("Pod", measured)?.metadata.labels?.["sluice.workload"] ?? "";
      const usage = metrics.get(session);
      if (usage === undefined) return refuse(response, { status: 404, message: "the server could not find it" });
      return answer(response, 200, { containers: [{ name: "session", usage }] });
    }
    const [, group = "", namespace = "", plural = "", name, sub] =
      /^\/apis?\/(.+)\/namespaces\/([^/]+)\/([a-z]+)(?:\/([^/]+))?(?:\/(log))?$/.exec(pathname) ?? [];
    const resource = RESOURCES[`${group}/${plural}`];
    if (resource === undefined) return refuse(response, { status: 404, message: `no resource ${pathname}` });
    const { kind } = resource;
    if (namespace !== NAMESPACE) {
      if (request.method === "PATCH")
        return refuse(response, { status: 404, message: `namespaces "${namespace}" not found` });
      if (name === undefined) return answer(response, 200, { metadata: { resourceVersion: "1" }, items: [] });
    }
    if (sub === "log") return log(response, name ?? "", query);
    if (request.method === "GET" && name === undefined) {
      if (query.get("watch") === "true") return watch(response, kind, query);
      const items = store.list(kind).filter(matcherOf(query));
      return answer(response, 200, {
        kind: `${kind}List`,
        metadata: { resourceVersion: String(store.version()) },
        items,
      });
    }
    const held = store.get(kind, name ?? "");
    const missing = { status: 404, message: `${plural} "${name}" not found` };
    if (request.method === "GET") return held === undefined ? refuse(response, missing) : answer(response, 200, held);
    if (request.method === "DELETE") {
      if (held === undefined) return refuse(response, missing);
      const { gracePeriodSeconds } = JSON.parse(text) as { readonly gracePeriodSeconds?: number };
      if (kind === "Pod") kubelet.remove(name ?? "", gracePeriodSeconds);
      else store.remove(kind, name ?? "");
      return answer(response, 200, { kind: "Status", status: "Success" });
    }
    if (faults.conflicts > 0) {
      faults.conflicts -= 1;
      return refuse(response, { status: 409, message: "the object has been modified; please apply your changes" });
    }
    const type = request.headers["content-type"] ?? "";
    const result = patch(kind, name ?? "", { type, body: JSON.parse(text), query });
    return "message" in result && "status" in result && typeof result.status === "number"
      ? refuse(response, result as unknown as Refused)
      : answer(response, 200, result);
  };

  const start = async () => {
    const { cert, key } = identity;
    const one = createServer(
      { cert, key, ca: cert, requestCert: true, rejectUnauthorized: false },
      (request, response) => {
        handle(request, response).catch((thrown: unknown) => {
          if (!response.headersSent) refuse(response, { status: 500, message: String(thrown) });
        });
      },
    );
    one.on("connection", (socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      one.once("error", reject);
      one.listen(port, "127.0.0.1", resolve);
    });
    const address = one.address();
    if (typeof address === "object" && address !== null) port = address.port;
    server = one;
  };
  const stop = async () => {
    const one = server;
    server = undefined;
    if (one === undefined) return;
    const closed = new Promise<void>((resolve) => one.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  await start();
  const write = (name: string, user: string) => {
    const path = join(directory, name);
    writeFileSync(path, kubeconfigOf(port, user));
    return path;
  };

  return {
    store,
    kubelet,
    faults,
    kubeconfig: write("config.yaml", "tokenFile: token"),
    certificateKubeconfig: write("certificate.yaml", "client-certificate: cert.pem, client-key: key.pem"),
    requests,
    refusals,
    metrics,
    openWatches: () => watches.size,
    dropWatches: () => {
      for (const response of watches) response.destroy();
    },
    rotateToken: () => {
      token = `${token}-next`;
      writeFileSync(tokenFile, token);
    },
    start,
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop();
      await kubelet[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

interface Patch {
  readonly type: string;
  readonly body: unknown;
  readonly query: URLSearchParams;
}

function matcherOf(query: URLSearchParams): (object: ClusterObject) => boolean {
  const wanted = (query.get("labelSelector") ?? "").split(",").filter(Boolean);
  return ({ metadata }) =>
    wanted.every((pair) => {
      const [name = "", value] = pair.split("=");
      return metadata.labels?.[name] === value;
    });
}

async function readBody(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

function kubeconfigOf(port: number, user: string): string {
  return `apiVersion: v1
kind: Config
current-context: fake
contexts: [{name: fake, context: {cluster: fake, user: agent}}]
clusters: [{name: fake, cluster: {server: "https://127.0.0.1:${port}", certificate-authority: cert.pem}}]
users: [{name: agent, user: {${user}}}]
`;
}

function makeCertificate(directory: string): { readonly cert: string; readonly key: string } {
  const command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=sluice-test";
  const paths = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") };
  const files = ["-keyout", paths.key, "-out", paths.cert];
  try {
    execFileSync("openssl", [...command.split(" "), "-addext", "subjectAltName=IP:127.0.0.1", ...files], {
      stdio: "pipe",
    });
  } catch (cause) {
    throw new AppError("unavailable", "openssl made no certificate", { cause });
  }
  return { cert: readFileSync(paths.cert, "utf8"), key: readFileSync(paths.key, "utf8") };
}
