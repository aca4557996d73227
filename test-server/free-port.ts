import { once } from "node:events";
import { createServer } from "node:net";
import { AppError } from "../src/base/errors.ts";

/** A port of loopback that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  await new Promise((done) => server.close(done));
  if (typeof address !== "object" || address === null) throw new AppError("unavailable", "no free port");
  return address.port;
}
