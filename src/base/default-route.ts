import { readProcText } from "./proc-text.ts";

/** Whether any interface but loopback has a default route, IPv4 or IPv6; undefined where the kernel does not tell. */
export function hasDefaultRoute(root = "/proc"): boolean | undefined {
  const v4 = readProcText(`${root}/net/route`);
  const v6 = readProcText(`${root}/net/ipv6_route`);
  if (v4 === undefined && v6 === undefined) return undefined;
  return lines(v4).some(isDefaultV4) || lines(v6).some(isDefaultV6);
}

const UP = 0x1;
const REJECT = 0x200;

/** `eth0 00000000 0101A8C0 0003 0 0 100 00000000 …`: interface, destination, gateway, flags, …, mask. */
function isDefaultV4(line: string): boolean {
  const [name, destination, , flags = "", , , , mask] = line.split(/\s+/);
  return name !== "lo" && destination === "00000000" && mask === "00000000" && isUsable(flags);
}

/** Destination, its length, source, its length, next hop, metric, references, uses, flags, interface. */
function isDefaultV6(line: string): boolean {
  const fields = line.split(/\s+/);
  return /^0{32}$/.test(fields[0] ?? "") && fields[1] === "00" && fields[9] !== "lo" && isUsable(fields[8] ?? "");
}

function isUsable(flags: string): boolean {
  const bits = Number.parseInt(flags, 16);
  return (bits & UP) !== 0 && (bits & REJECT) === 0;
}

function lines(text: string | undefined): readonly string[] {
  return (text ?? "").split("\n").map((line) => line.trim());
}
