import { AppError } from "../../../base/errors.ts";
import { type EngineEntry, parseEngineTime } from "../engine-output.ts";

const HEADER_BYTES = 8;
/** Drivers cut lines at 16 KiB (Docker) or 32 KiB (Podman). */
const MAX_FRAME_BYTES = 16 * 2 ** 20;
const SPACE = 0x20;
/** `2026-11-21T18:16:33.454626440+00:00`. */
const MAX_TIME_BYTES = 40;

/** Takes apart the framed stream of `/containers/<id>/logs`, asked for with `timestamps`. */
export async function* readLogFrames(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<EngineEntry> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  let wantedBytes = HEADER_BYTES;
  for await (const piece of pieces) {
    held.push(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
    heldBytes += piece.length;
    if (heldBytes < wantedBytes) continue;
    let rest = Buffer.concat(held, heldBytes);
    for (;;) {
      wantedBytes = rest.length < HEADER_BYTES ? HEADER_BYTES : HEADER_BYTES + rest.readUInt32BE(4);
      if (wantedBytes > MAX_FRAME_BYTES)
        throw new AppError("internal", "a container's output is not framed as it should be");
      if (rest.length < wantedBytes) break;
      const frame = toEntry(rest.subarray(0, wantedBytes));
      if (frame !== undefined) yield frame;
      rest = rest.subarray(wantedBytes);
    }
    held = [rest];
    heldBytes = rest.length;
  }
}

function toEntry(frame: Buffer): EngineEntry | undefined {
  const body = frame.subarray(HEADER_BYTES);
  const end = body.subarray(0, MAX_TIME_BYTES).indexOf(SPACE);
  const timeNs = end < 0 ? undefined : parseEngineTime(body.subarray(0, end).toString("latin1"));
  if (timeNs === undefined) return undefined;
  return { output: frame[0] === 2 ? "stderr" : "stdout", bytes: body.subarray(end + 1), timeNs };
}
