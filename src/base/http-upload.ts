import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { Readable } from "node:stream";
import { type HttpTrust, tlsOf } from "./http-fetch.ts";

export interface HttpUpload {
  readonly url: URL;
  readonly headers: Record<string, string>;
  readonly trust: HttpTrust;
  /** Given the signal that ends with the connection; pulled one piece at a time, as fast as the other side takes them. */
  readonly body: (signal: AbortSignal) => AsyncIterable<string>;
  /** The other side has taken nothing for so long: it is gone. */
  readonly stuckMs: number;
  readonly signal: AbortSignal;
}

/**
 * Posts a body that is made while it is sent, and holds one piece of it. Resolves with the answer's status, which may come
 * before the body's end and then ends it; rejects with the system's error, or the signal's reason. Nothing of it is left then.
 */
export async function httpUpload(upload: HttpUpload): Promise<number> {
  const { url, signal } = upload;
  const send = url.protocol === "https:" ? requestHttps : requestHttp;
  const over = new AbortController();
  const life = AbortSignal.any([signal, over.signal]);
  // A connection of its own: it may last for hours, and is cut in the middle when nobody listens any more.
  const request = send(url, {
    method: "POST",
    headers: upload.headers,
    agent: false,
    signal: life,
    timeout: upload.stuckMs,
    ...tlsOf(upload.trust),
  });
  request.on("timeout", () => request.destroy(new TypeError("the other side takes nothing")));
  const answered = new Promise<number>((resolve, reject) => {
    request.once("response", (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    request.once("error", reject);
    request.once("close", () => reject(new TypeError("the connection was closed")));
  });
  answered.catch(() => undefined).finally(() => over.abort());
  const body = Readable.from(upload.body(life), { objectMode: true, highWaterMark: 1 });
  body.on("error", (error) => request.destroy(error));
  body.pipe(request);
  try {
    return await answered;
  } catch (thrown) {
    throw signal.aborted ? signal.reason : thrown;
  } finally {
    over.abort();
    body.destroy();
    request.destroy();
  }
}
