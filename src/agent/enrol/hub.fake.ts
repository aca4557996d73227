import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { hashOf } from "./enrol-box.ts";

/** A small real hub over HTTP: enrolment tokens, keys, and the rule that a next key becomes the key when it is first used. */
export interface FakeHub extends AsyncDisposable {
  readonly url: string;
  /** Secrets that may still be spent. */
  readonly tokens: Set<string>;
  readonly boxes: Map<string, FakeBox>;
  readonly requests: { readonly line: string; readonly body: string }[];
  /** Takes the place of the usual answer while it is set. `lost`: all is done, and the answer never comes. */
  onRequest:
    | ((line: string) => "lost" | { readonly status: number; readonly headers?: Record<string, string> } | undefined)
    | undefined;
}

export interface FakeBox {
  state: "pending" | "approved" | "revoked";
  key: string;
  nextKey: string | undefined;
  readonly token: string;
}

export async function startFakeHub(): Promise<FakeHub> {
  const boxes = new Map<string, FakeBox>();
  const tokens = new Set<string>();
  const requests: FakeHub["requests"] = [];
  const hub: { onRequest: FakeHub["onRequest"] } = { onRequest: undefined };

  const enrol = (body: Record<string, unknown>, answer: Answer) => {
    const id = String(body["boxId"]);
    const token = String(body["token"]);
    const keyHash = String(body["keyHash"]);
    const known = boxes.get(id);
    if (known?.key === keyHash && known.token === token) return answer(200, { id, state: known.state });
    if (!tokens.delete(token)) return answer(401, problem("unauthorized", "the token was used or has expired"));
    boxes.set(id, { state: "pending", key: keyHash, nextKey: undefined, token });
    return answer(200, { id, state: "pending" });
  };

  const putKey = (id: string, key: string, body: Record<string, unknown>, answer: Answer) => {
    const box = boxes.get(id);
    const hash = hashOf(key);
    if (box === undefined || (box.key !== hash && box.nextKey !== hash) || box.state === "revoked") {
      return answer(401, problem("unauthorized", "this token opens nothing"));
    }
    if (box.nextKey === hash) {
      box.key = hash;
      box.nextKey = undefined;
    }
    const next = String(body["keyHash"]);
    if (next !== box.key) box.nextKey = next;
    return answer(200, { staged: true });
  };

  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    let text = "";
    for await (const chunk of request) text += String(chunk);
    const line = `${request.method} ${request.url}`;
    requests.push({ line, body: text });
    const special = hub.onRequest?.(line);
    const answer: Answer = (status, body) => {
      if (special === "lost") return void request.socket.destroy();
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    };
    if (special !== undefined && special !== "lost") {
      response.writeHead(special.status, special.headers).end();
      return;
    }
    const body: Record<string, unknown> = JSON.parse(text === "" ? "{}" : text);
    const key = (request.headers.authorization ?? "").replace("Bearer ", "");
    const box = /^PUT \/v1\/boxes\/([^/]+)\/key$/.exec(line)?.[1];
    if (line === "POST /v1/enrol") enrol(body, answer);
    else if (box !== undefined) putKey(box, key, body, answer);
    else answer(404, problem("not-found", "no such address"));
  };

  const server = createServer((request, response) => void serve(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    tokens,
    boxes,
    requests,
    get onRequest() {
      return hub.onRequest;
    },
    set onRequest(given) {
      hub.onRequest = given;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

type Answer = (status: number, body: unknown) => void;

function problem(code: string, message: string) {
  return { error: { code, message } };
}
