import type { Socket } from "node:net";
import { AppError, errnoOf, messageOf } from "../../base/errors.ts";
import type { Channel } from "../../remote/channel.ts";
import { pour } from "../../remote/pour.ts";
import { formatPlace } from "./forward-spec.ts";

/** One connection, joined with one channel: each direction ends by itself, and a reset is a reset. */
export async function joinTcp(
  socket: Socket,
  place: { readonly host: string; readonly port: number },
  open: (what: { readonly kind: "dial"; readonly host: string; readonly port: number }) => Promise<Channel>,
  tell: (line: string) => void,
): Promise<void> {
  let lost: Error | undefined;
  socket.on("error", (error) => {
    lost = error;
  });
  let channel: Channel;
  try {
    channel = await open({ kind: "dial", ...place });
    await channel.opened;
  } catch (thrown) {
    socket.resetAndDestroy();
    tell(`${formatPlace(place.host, place.port)} cannot be reached: ${messageOf(thrown)}`);
    return;
  }
  if (socket.destroyed) return channel.reset(connectionLost(lost));
  const [fromBox, toBox] = [channel.readable("out"), channel.writable("in")];
  socket.once("close", () => {
    if (lost !== undefined) channel.reset(connectionLost(lost));
  });
  pour(fromBox, socket);
  socket.pipe(toBox);
  const { error } = await channel.closed;
  if (error === undefined) return;
  if (lost === undefined && error.code !== "cancelled")
    tell(`${formatPlace(place.host, place.port)}: ${error.message}`);
  socket.resetAndDestroy();
}

function connectionLost(error: Error | undefined): AppError {
  const why =
    error === undefined
      ? "the local connection has gone"
      : `the local connection failed (${errnoOf(error) ?? error.message})`;
  return new AppError("unavailable", why);
}
