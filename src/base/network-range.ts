import { BlockList, isIP, isIPv4 } from "node:net";

/** Not reached over the Internet: this machine, its links, private networks, and what is no address of one host (IANA's special-purpose registries). */
const SPECIAL_V4: readonly (readonly [string, number])[] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
];

/** Of IPv6 only 2000::/3 is given out; what is special there is taken out of it. */
const SPECIAL_V6: readonly (readonly [string, number])[] = [
  ["::", 3],
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
  ["4000::", 2],
  ["8000::", 1],
];

/** What an IPv4-only name resolves to behind DNS64 (RFC 6052): the last 32 bits are the address that is meant. */
const NAT64 = "64:ff9b:0:0:0:0:";

/** One list a family: Node takes an IPv4 address for its mapped form in a list of IPv6 networks. */
interface Networks {
  readonly v4: BlockList;
  readonly v6: BlockList;
}

const special: Networks = { v4: new BlockList(), v6: new BlockList() };
for (const [network, bits] of SPECIAL_V4) special.v4.addSubnet(network, bits, "ipv4");
for (const [network, bits] of SPECIAL_V6) special.v6.addSubnet(network, bits, "ipv6");

/** Whether an address lies in a private, loopback, link-local or otherwise special range. What is no address does. */
export function isSpecialAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 0) return true;
  const meant = family === 4 ? address : embeddedV4(address);
  return meant === undefined ? special.v6.check(address, "ipv6") : special.v4.check(meant, "ipv4");
}

/** Networks as `10.0.0.0/8`, `fd00::/8` or single addresses. `undefined`: one of them is none of these. */
export function parseNetworks(texts: readonly string[]): ((address: string) => boolean) | undefined {
  const lists: Networks = { v4: new BlockList(), v6: new BlockList() };
  for (const text of texts) {
    const [address = "", bits, more] = text.split("/");
    const family = isIP(address);
    const width = family === 4 ? 32 : 128;
    const prefix = bits === undefined ? width : Number(bits);
    if (
      family === 0 ||
      more !== undefined ||
      bits === "" ||
      !Number.isInteger(prefix) ||
      prefix < 0 ||
      prefix > width
    ) {
      return undefined;
    }
    if (family === 4) lists.v4.addSubnet(address, prefix, "ipv4");
    else lists.v6.addSubnet(address, prefix, "ipv6");
  }
  return (address) => {
    const family = isIP(address);
    if (family === 0) return false;
    const meant = family === 4 ? address : embeddedV4(address);
    if (meant !== undefined && lists.v4.check(meant, "ipv4")) return true;
    return family === 6 && lists.v6.check(address, "ipv6");
  };
}

/** The IPv4 address in a mapped (`::ffff:a.b.c.d`) or NAT64 one. */
function embeddedV4(address: string): string | undefined {
  const full = expand(address);
  const isMapped = full.startsWith("0:0:0:0:0:ffff:");
  if (!isMapped && !full.startsWith(NAT64)) return undefined;
  const [high = 0, low = 0] = full
    .split(":")
    .slice(6)
    .map((group) => Number.parseInt(group, 16));
  const meant = [high >> 8, high & 255, low >> 8, low & 255].join(".");
  return isIPv4(meant) ? meant : undefined;
}

/** Eight groups without leading zeros. `address` is an IPv6 one. */
function expand(address: string): string {
  const [bare = ""] = address.split("%");
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(bare);
  const hex = (one: string | undefined, two: string | undefined) => (Number(one) * 256 + Number(two)).toString(16);
  const plain = dotted === null ? bare : `${dotted[1]}${hex(dotted[2], dotted[3])}:${hex(dotted[4], dotted[5])}`;
  const [head = "", tail] = plain.split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":"));
  const before = groups(head);
  const after = groups(tail ?? "");
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - before.length - after.length }, () => "0");
  return [...before, ...zeros, ...after].map((group) => Number.parseInt(group, 16).toString(16)).join(":");
}
