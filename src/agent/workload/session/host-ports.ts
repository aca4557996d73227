import { createSocket } from "node:dgram";
import { AppError, errnoOf, messageOf } from "../../../base/errors.ts";
import type { SessionPort } from "../../../contract/session-spec.ts";
import type { PlacedPort } from "../../../translate/process-launch.ts";
import { checkPort, showPoint } from "../tunnel/port-check.ts";

export interface HostPortOptions {
  /** Of ports that name none. */
  readonly address: string;
  readonly ports: { readonly from: number; readonly to: number };
}

/** Gives sessions ports of this box to listen on. */
export interface HostPorts {
  /**
   * In the order of the spec. Each was free a moment ago, and no other session has or is about to get it. Rejects with `conflict` for
   * a fixed port that somebody has, `invalid` for an address that the box has not, `exhausted` when none is left.
   */
  place(id: string, ports: readonly SessionPort[]): Promise<readonly PlacedPort[]>;
}

/** `taken`: of all sessions but this one, what they listen on or will. */
export function createHostPorts(
  { address: ownAddress, ports: range }: HostPortOptions,
  deps: { readonly taken: (exceptId: string) => Iterable<number> },
): HostPorts {
  /** Handed out, and perhaps not listened on yet. */
  const given = new Map<string, readonly number[]>();
  const count = range.to - range.from + 1;
  let next = 0;

  const placeOne = async (
    port: SessionPort,
    field: string,
    isTaken: (hostPort: number) => boolean,
  ): Promise<PlacedPort> => {
    const { protocol = "tcp", address = ownAddress, hostPort } = port;
    const placed = (chosen: number): PlacedPort => ({ port: port.port, protocol, address, hostPort: chosen });
    if (hostPort !== undefined) {
      await check(placed(hostPort), field);
      return placed(hostPort);
    }
    for (let tried = 0; tried < count; tried++) {
      const candidate = placed(range.from + next);
      next = (next + 1) % count;
      if (isTaken(candidate.hostPort)) continue;
      try {
        await check(candidate, field);
        return candidate;
      } catch (thrown) {
        if (!(thrown instanceof AppError) || thrown.code !== "conflict") throw thrown;
      }
    }
    throw new AppError(
      "exhausted",
      `${field}: none of the ports ${range.from} to ${range.to} (sessions.ports) is free`,
      {
        field,
      },
    );
  };

  return {
    place: async (id, ports) => {
      const chosen: PlacedPort[] = [];
      const isTaken = (hostPort: number) => {
        const others = [...given].some(([other, list]) => other !== id && list.includes(hostPort));
        return others || chosen.some((one) => one.hostPort === hostPort) || [...deps.taken(id)].includes(hostPort);
      };
      for (const [index, port] of ports.entries()) {
        chosen.push(await placeOne(port, `template.ports[${index}].hostPort`, isTaken));
        given.set(
          id,
          chosen.map(({ hostPort }) => hostPort),
        );
      }
      return chosen;
    },
  };
}

async function check(placed: PlacedPort, field: string): Promise<void> {
  const point = { address: placed.address, port: placed.hostPort };
  if (placed.protocol === "tcp") return checkPort(point, field);
  const socket = createSocket(point.address.includes(":") ? "udp6" : "udp4");
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind({ ...point, exclusive: true }, resolve);
    });
  } catch (thrown) {
    const code = errnoOf(thrown) === "EADDRINUSE" ? "conflict" : errnoOf(thrown) === "EACCES" ? "refused" : "invalid";
    throw new AppError(code, `${field}: udp ${showPoint(point)} cannot be had: ${messageOf(thrown)}`, {
      field,
      cause: thrown,
    });
  } finally {
    socket.close();
  }
}
