import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** What stands between an end and the router. */
export interface LaneMiddle {
  readonly url: string;
  close(): void;
}

/** Hands on all that comes, and sees lanes: `onLane` gets both sides of each, of which the end has said the first bytes. */
export async function startLaneMiddle(
  routerPort: number,
  onLane: (near: Socket, far: Socket) => void,
): Promise<LaneMiddle> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(routerPort, "127.0.0.1");
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on("error", () => undefined);
      one.on("close", () => other.destroy());
      one.on("data", (bytes) => other.write(bytes));
      one.on("end", () => other.end());
    }
    near.once("data", (first: Buffer) => {
      if (first.toString("latin1").startsWith("PRI * SLUICE-LANE")) onLane(near, far);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
