import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { join } from "node:path";
import { expect, it } from "vitest";
import { digestTree } from "../src/worker/digest-tree.fake.ts";
import { freePort } from "./free-port.ts";
import { createTransferWorld } from "./transfer-world.ts";

const FILES = 40;
const BYTES = 4096;
/** Of the answers to one result. */
const LOST = 5;

interface Told {
  /** Of the lease, so that the same result is known again. */
  readonly lease: string;
  readonly status: string;
}

/** Passes everything on to the hub; of each result the hub takes it in, and the first answers never come back. */
async function startForgetfulProxy(hubPort: number) {
  const told: Told[] = [];
  const server = createServer((incoming, outgoing) => {
    const parts: Buffer[] = [];
    incoming.on("data", (part: Buffer) => parts.push(part));
    incoming.on("end", () => {
      const body = Buffer.concat(parts);
      const { method, url = "", headers } = incoming;
      const isResult = url === "/workers/result";
      const passed = request({ host: "127.0.0.1", port: hubPort, method, path: url, headers }, (answer) => {
        if (!isResult) {
          outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(outgoing);
          return;
        }
        const said: Buffer[] = [];
        answer.on("data", (part: Buffer) => said.push(part));
        answer.on("end", () => {
          const lease = String(JSON.parse(body.toString()).lease_id);
          told.push({ lease, status: String(JSON.parse(Buffer.concat(said).toString()).status) });
          if (told.filter((one) => one.lease === lease).length <= LOST) outgoing.destroy();
          else outgoing.writeHead(answer.statusCode ?? 502, answer.headers).end(Buffer.concat(said));
        });
      });
      passed.on("error", () => outgoing.destroy());
      outgoing.on("close", () => passed.destroy());
      passed.end(body);
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    told,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

it("of which five answers each are lost count once: the worker tells them again, and hears that they were taken", {
  timeout: 120_000,
}, async () => {
  const hubPort = await freePort();
  await using proxy = await startForgetfulProxy(hubPort);
  await using world = await createTransferWorld({ hubPort, publicUrl: `http://127.0.0.1:${proxy.port}` });
  const tree = join(world.from, "tree");
  mkdirSync(tree);
  for (let index = 0; index < FILES; index++) writeFileSync(join(tree, `f${index}`), randomBytes(BYTES));
  const id = await world.submit({ source_path: tree, destination_path: join(world.to, "copy") });
  const end = await world.until(async () => {
    const progress = await world.progress(id);
    return progress.state === "COMPLETED" || progress.state === "FAILED" ? progress : undefined;
  }, "its end");
  expect(end).toMatchObject({
    state: "COMPLETED",
    failures: [],
    files_done: FILES,
    files_total: FILES,
    transferred_bytes: FILES * BYTES,
  });
  expect(digestTree(join(world.to, "copy"))).toEqual(digestTree(tree));
  // What was not answered is told on, also when the transfer is over by then.
  const again = () => proxy.told.filter(({ status }) => status === "duplicate").length;
  await world.until(() => again() >= 2 * LOST, "what is told again");
  expect(await world.progress(id)).toEqual(end);
  // Listed, copied and closed.
  const leases = [...new Set(proxy.told.map(({ lease }) => lease))];
  expect(leases.length).toBeGreaterThanOrEqual(3);
  for (const lease of leases) {
    const statuses = proxy.told.filter((one) => one.lease === lease).map(({ status }) => status);
    // That a listing is over was told with its last page.
    expect(statuses.slice(1).every((status) => status === "duplicate")).toBe(true);
    expect(statuses[0] === "ack" || lease.includes(":list:")).toBe(true);
  }
});
