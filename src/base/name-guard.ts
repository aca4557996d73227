import { once } from "node:events";
import { createServer } from "node:net";
import { errnoOf } from "./errors.ts";

/** A name of this network namespace that one process has at a time. */
export interface NameGuard {
  release(): Promise<void>;
}

/** Undefined while another process has it. The kernel takes it back the moment its holder dies: it can never be stale. */
export async function holdName(name: string): Promise<NameGuard | undefined> {
  const server = createServer((socket) => socket.destroy());
  try {
    server.listen(`\0${name}`);
    await once(server, "listening");
  } catch (thrown) {
    if (errnoOf(thrown) === "EADDRINUSE") return undefined;
    throw thrown;
  }
  return {
    release: async () => {
      server.close();
      await once(server, "close");
    },
  };
}
