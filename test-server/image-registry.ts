import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { gzipSync } from "node:zlib";

/** A registry on loopback, from which engines fetch without encryption: one image of one layer, under any name. */
export interface ImageRegistry extends Disposable {
  /** `127.0.0.1:5000`. */
  readonly host: string;
  /** What was asked for: `GET /v2/app/manifests/1`. */
  readonly asked: readonly string[];
}

export interface RegistryPace {
  /** Layers come once this has resolved. */
  readonly until?: Promise<void>;
}

/** `layer`: a tar archive. Holds what the OCI distribution and image specifications ask of a server that is only read from. */
export async function openImageRegistry(
  layer: Buffer,
  { until = Promise.resolve() }: RegistryPace = {},
): Promise<ImageRegistry> {
  const packed = gzipSync(layer);
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      os: "linux",
      config: {},
      rootfs: { type: "layers", diff_ids: [digestOf(layer)] },
    }),
  );
  const describe = (mediaType: string, bytes: Buffer) => ({ mediaType, size: bytes.length, digest: digestOf(bytes) });
  const type = "application/vnd.oci.image.manifest.v1+json";
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: type,
      config: describe("application/vnd.oci.image.config.v1+json", config),
      layers: [describe("application/vnd.oci.image.layer.v1.tar+gzip", packed)],
    }),
  );
  const blobs = new Map([config, packed].map((bytes) => [digestOf(bytes), bytes]));
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const { method = "", url = "" } = request;
    asked.push(`${method} ${url}`);
    const [, kind, wanted = ""] = /^\/v2\/.+\/(manifests|blobs)\/([^/]+)$/.exec(url) ?? [];
    const body = url === "/v2/" ? Buffer.from("{}") : kind === "manifests" ? manifest : blobs.get(wanted);
    if (body === undefined) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, {
      "content-type": kind === "manifests" ? type : "application/octet-stream",
      "content-length": body.length,
      "docker-content-digest": digestOf(body),
    });
    if (body === packed && method !== "HEAD") void until.then(() => response.end(body));
    else response.end(method === "HEAD" ? undefined : body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    host: `127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`,
    asked,
    [Symbol.dispose]: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
