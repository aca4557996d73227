import { AppError } from "../../src/base/errors.ts";
import type { Parts } from "../parts.ts";
import { parseFaultArguments } from "./fault-arguments.ts";
import { bytesOfFault } from "./fault-bytes.ts";
import { FAULTS, type FaultName, type FaultValues, findFault } from "./fault-catalog.ts";

export interface FaultAnswer {
  readonly fault: FaultName;
  readonly values: FaultValues;
  /** Connections that were there when it struck. */
  readonly clients: number;
}

/** Makes a fault happen. Throws `not-found` for an unknown name, `invalid` for a wrong argument, `unsupported` where nothing could break. */
export function applyFault(name: string, args: unknown, parts: Parts): FaultAnswer {
  const kind = findFault(name);
  if (kind === undefined) {
    const known = FAULTS.map((fault) => fault.name).join(", ");
    throw new AppError("not-found", `fault: "${name}" given, allowed: ${known}`, { field: "fault" });
  }
  const values = parseFaultArguments(kind, args);
  if (kind.name === "freeze" && parts.rtmp === undefined) {
    throw new AppError("unsupported", "freeze: this server was started without RTMP", { field: "fault" });
  }
  const clients = parts.room.count();
  if (kind.lasts === "lasting") parts.board.add(kind, values);
  if (kind.name === "silent") parts.room.muteAll();

  const bytes = bytesOfFault(kind.name, values, parts.random);
  if (bytes.length > 0) parts.room.broadcast(() => bytes);
  if (kind.name === "drop") parts.room.closeAll(howToClose(values["how"]));
  // After bytes of its own a connection ends properly, or they would not arrive.
  else if (values["drop"] === true) parts.room.closeAll(bytes.length > 0 ? "end" : "cut");
  // Last: who was cut must not hear of it.
  if (kind.name === "lose-state") parts.set.loseState();

  const shown = Object.entries(values).flatMap(([key, value]) => (value === undefined ? [] : [`${key} ${value}`]));
  parts.log.write("fault", `${kind.title}${shown.length === 0 ? "" : ` (${shown.join(", ")})`}, ${clients} connected`);
  return { fault: kind.name, values, clients };
}

function howToClose(value: unknown): "cut" | "reset" | "end" {
  return value === "reset" || value === "end" ? value : "cut";
}
