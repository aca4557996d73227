import { AppError } from "../../base/errors.ts";
import type { SessionPort } from "../../contract/session-spec.ts";
import { splitAtColons } from "./forward-spec.ts";

/** A port of a session, and where it is had here. */
export interface ChosenPort {
  readonly port: number;
  readonly protocol: "tcp" | "udp";
  readonly name: string | undefined;
  readonly scheme: string | undefined;
  /** Undefined: 127.0.0.1, and ::1 where it can be had. */
  readonly bind: string | undefined;
  /** 0: one that is free. */
  readonly local: number;
}

const MAX_PORT = 65_535;
const FORM = "[[ADDRESS:]LOCAL:]PORT[/udp], PORT by its number or name, IPv6 as [::1]";

/**
 * Ports of a session as a person names them: `web`, `80`, `8080:web`, `0.0.0.0:8080:80`, `5353/udp`. None named: all that it declares.
 * Throws `invalid`. Pure.
 */
export function chooseSessionPorts(
  texts: readonly string[],
  { id, ports = [] }: { readonly id: string; readonly ports: readonly SessionPort[] | undefined },
): readonly ChosenPort[] {
  if (ports.length === 0) throw new AppError("invalid", `session ${id} declares no port that could be reached`);
  if (texts.length === 0) return ports.map((port) => toChosen(port, undefined, 0));
  return texts.map((text) => choose(text, id, ports));
}

function choose(text: string, id: string, ports: readonly SessionPort[]): ChosenPort {
  const [, rest = "", protocol] = /^(.*?)(?:\/([a-z]+))?$/s.exec(text) ?? [];
  const [wanted = "", local, address, ...more] = splitAtColons(rest)?.reverse() ?? [];
  if (wanted === "" || more.length > 0) throw wrong(text, `allowed: ${FORM}`);
  if (local !== undefined && !(/^\d{1,5}$/.test(local) && Number(local) <= MAX_PORT)) {
    throw wrong(text, `${JSON.stringify(local)} is no local port; allowed: ${FORM}`);
  }
  const found = ports.filter(
    (port) =>
      (port.name === wanted || String(port.port) === wanted) &&
      (protocol === undefined || (port.protocol ?? "tcp") === protocol),
  );
  const [first] = found;
  if (first === undefined) throw wrong(text, `session ${id} declares ${ports.map(describe).join(", ")}`);
  if (found.length > 1) throw wrong(text, `it may be any of ${found.map(describe).join(", ")}`);
  return toChosen(first, address === "*" ? "::" : address, Number(local ?? 0));
}

function toChosen(
  { port, protocol = "tcp", name, scheme }: SessionPort,
  bind: string | undefined,
  local: number,
): ChosenPort {
  return { port, protocol, name, scheme, bind, local };
}

function describe({ port, protocol = "tcp", name }: SessionPort): string {
  return `${port}/${protocol}${name === undefined ? "" : ` (${name})`}`;
}

function wrong(text: string, problem: string): AppError {
  return new AppError("invalid", `given ${JSON.stringify(text)}: ${problem}`);
}
