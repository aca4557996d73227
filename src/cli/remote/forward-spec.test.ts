import { expect, test } from "vitest";
import { parseForwardRule, parseStdioTarget } from "./forward-spec.ts";

const own = "localhost";
test.each([
  ["8080", undefined, 8080, "tcp", own, 8080, 8080],
  ["9080:8080", undefined, 9080, "tcp", own, 8080, 8080],
  ["0:80", undefined, 0, "tcp", own, 80, 80],
  ["0.0.0.0:9080:8080", "0.0.0.0", 9080, "tcp", own, 8080, 8080],
  ["*:9080:8080", "::", 9080, "tcp", own, 8080, 8080],
  ["10.0.0.20:554", undefined, 554, "tcp", "10.0.0.20", 554, 554],
  ["5540:10.0.0.20:554", undefined, 5540, "tcp", "10.0.0.20", 554, 554],
  ["127.0.0.2:5540:cam-1.lan:554", "127.0.0.2", 5540, "tcp", "cam-1.lan", 554, 554],
  ["[::1]:5540:[fe80::1%eth0]:554", "::1", 5540, "tcp", "fe80::1%eth0", 554, 554],
  ["[2001:db8::7]:80", undefined, 80, "tcp", "2001:db8::7", 80, 80],
  ["5353:53/udp", undefined, 5353, "udp", own, 53, 53],
  ["8000-8010", undefined, 8000, "tcp", own, 8000, 8010],
  ["9000-9010:8000-8010", undefined, 9000, "tcp", own, 8000, 8010],
  ["0:cam:8000-8010/tcp", undefined, 0, "tcp", "cam", 8000, 8010],
])("%s", (text, bind, localFrom, protocol, host, from, to) => {
  expect(parseForwardRule(text)).toEqual({ bind, localFrom, target: { protocol, host, from, to } });
});

test.each([
  ["", "no port"],
  ["0", "0 is no port of a box"],
  ["http", "no port"],
  ["80/sctp", 'protocol "sctp"'],
  ["65536", "ports are 0 to 65535"],
  ["90-80", "ranges rise"],
  ["9000-9001:8000-8010", "2 local ports for 11"],
  ["65530:8000-8010", "1 local ports for 11"],
  ["::1:80:80", "brackets"],
  ["a:b:c:80", "is no port"],
  ["1:2:3:4:5", "too many parts"],
  ["[::1:80", "brackets"],
])("%s is refused", (text, problem) => {
  expect(() => parseForwardRule(text)).toThrow(problem);
});

test("--stdio takes one TCP port", () => {
  expect(parseStdioTarget("22")).toEqual({ protocol: "tcp", host: own, from: 22, to: 22 });
  expect(parseStdioTarget("cam:22")).toMatchObject({ host: "cam", from: 22 });
  for (const text of ["22/udp", "2222:22", "22-23", "127.0.0.1:22:22"])
    expect(() => parseStdioTarget(text)).toThrow("--stdio");
});
