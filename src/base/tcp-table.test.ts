import { expect, test } from "vitest";
import { parseLocalSockets, parseTcpTable } from "./tcp-table.ts";

const HEAD =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                    ";
const line = (remote: string, rest: string) => `   0: 0100007F:9183 ${remote} ${rest} 1 00000000b5198cad 100 0 0 10 0`;

test("reads the queues, the timer and the retransmissions of the sockets that are asked for", () => {
  const text = [
    HEAD,
    line("0500000A:078F", "01 00065000:00000000 01:00000020 00000004     0        0 4242"),
    line("0500000A:078F", "01 00000000:00000100 00:00000000 00000000     0        0 4243"),
  ].join("\n");
  expect([...parseTcpTable(text, new Set([4242])).values()]).toEqual([
    {
      inode: 4242,
      remote: "10.0.0.5:1935",
      isEstablished: true,
      isConnecting: false,
      unackedBytes: 0x65000,
      unreadBytes: 0,
      timer: "retransmit",
      retransmits: 4,
      unansweredProbes: 0,
    },
  ]);
});

test("tells a closed window, and whether its probes are answered", () => {
  const text = line("0500000A:078F", "01 00000100:00000000 04:00000020 00000000     0        3 7");
  expect(parseTcpTable(text, new Set([7])).get(7)).toMatchObject({ timer: "probe", unansweredProbes: 3 });
});

test("writes IPv6 addresses as people do, and IPv4 inside IPv6 as IPv4", () => {
  const rest = "02 00000001:00000000 01:00000020 00000002     0        0";
  const text = [
    line("B80D0120000000000000000001000000:01BB", `${rest} 1`),
    line("0000000000000000FFFF00000500000A:078F", `${rest} 2`),
  ].join("\n");
  const found = parseTcpTable(text, new Set([1, 2]));
  expect(found.get(1)).toMatchObject({ remote: "[2001:db8::1]:443", isConnecting: true });
  expect(found.get(2)?.remote).toBe("10.0.0.5:1935");
});

test("leaves out what the kernel would not write", () => {
  expect(parseTcpTable(`${HEAD}\n\n  garbage 9\n${line("zz:1", "01 0:0 0:0 0 0 0 9")}`, new Set([9])).size).toBe(0);
});

test("reads the own end of every socket, and which of them listen", () => {
  const local = (address: string, state: string, inode: number) =>
    `   0: ${address} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0 100 0 0 10 0`;
  const text = [
    HEAD,
    local("0100007F:13EC", "0A", 1),
    local("00000000000000000000000001000000:13EC", "0A", 2),
    local("0100007F:13EC", "01", 3),
    local("nothing", "01", 4),
  ].join("\n");
  const listening = { isListening: true, isEstablished: false };
  expect(parseLocalSockets(text)).toEqual([
    { inode: 1, address: "127.0.0.1", port: 5100, ...listening },
    { inode: 2, address: "::1", port: 5100, ...listening },
    { inode: 3, address: "127.0.0.1", port: 5100, isListening: false, isEstablished: true },
  ]);
});
