import { isIP } from "node:net";

/**
 * One spelling for each host: an IPv6 address in its shortest form, an IPv4 address also where it came in IPv6 clothes, a name in
 * lower case without its last dot. `undefined` for what a resolver would read as an address and we do not (`127.1`,
 * `0x7f000001`, `2130706433`, a zone), and for what is no name.
 */
export function canonicalHost(host: string): string | undefined {
  const family = isIP(host);
  if (family === 4) return host;
  if (family === 6) {
    if (host.includes("%")) return undefined;
    const short = new URL(`http://[${host}]/`).hostname.slice(1, -1);
    const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(short) ?? [];
    if (high === undefined || low === undefined) return short;
    const bits = (Number.parseInt(high, 16) << 16) | Number.parseInt(low, 16);
    return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join(".");
  }
  const name = host.toLowerCase().replace(/\.$/, "");
  const isName = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/.test(name);
  // The last label of a name is never a number: that is how resolvers tell it from an address.
  const last = name.slice(name.lastIndexOf(".") + 1);
  return isName && name.length <= 253 && !/^(?:\d+|0x[0-9a-f]*)$/.test(last) ? name : undefined;
}
