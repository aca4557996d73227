import { join } from "node:path";
import { readProcText } from "./proc-text.ts";

/**
 * Segments that a network namespace has sent again, and probes of windows that a peer kept shut, since it exists
 * (`Tcp: RetransSegs` of `net/snmp`, `TcpExt: TCPWinProbe` of `net/netstat`). A connection that gets stuck moves one of them
 * within its retransmission timeout. Undefined where the kernel does not tell. `directory`: `/proc/PID/net`.
 */
export function readTcpTrouble(directory: string): number | undefined {
  const resent = counterOf(readProcText(join(directory, "snmp")) ?? "", "Tcp", "RetransSegs");
  const probes = counterOf(readProcText(join(directory, "netstat")) ?? "", "TcpExt", "TCPWinProbe");
  return resent === undefined || probes === undefined ? undefined : resent + probes;
}

/** Each family has a line of names and below it a line of numbers. */
export function counterOf(text: string, family: string, name: string): number | undefined {
  const namesAt = text.indexOf(`${family}: `);
  const valuesAt = text.indexOf(`\n${family}: `, namesAt) + 1;
  if (namesAt < 0 || valuesAt === 0) return undefined;
  const index = text.slice(namesAt, valuesAt).trimEnd().split(" ").indexOf(name);
  const value = Number(text.slice(valuesAt).split("\n", 1)[0]?.split(" ")[index]);
  return index > 0 && Number.isSafeInteger(value) ? value : undefined;
}
