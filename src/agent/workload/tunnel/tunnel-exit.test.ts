import { expect, test } from "vitest";
import { classifyTunnelExit } from "./tunnel-exit.ts";

const STARTED = [
  "2026.01.15 10:30:45 LOG5[ui]: stunnel 5.68 on x86_64-pc-linux-gnu platform",
  "2026.01.15 10:30:45 LOG5[ui]: Configuration successful",
];
const exit = (code: number | null, signal: NodeJS.Signals | null = null) => ({
  code,
  signal,
  isAdopted: code === null && signal === null,
  atMonotonicMs: 0,
});

// Lines of stunnel 5.68.
test.each([
  [
    "a port that somebody has",
    exit(1),
    [
      ...STARTED,
      "[.] Binding service [leg0] to 127.0.0.1:23451: Address already in use (98)",
      "[!] Binding service [leg0] failed",
    ],
    {
      class: "port-busy",
      retry: "backoff",
      evidence: "Binding service [leg0] to 127.0.0.1:23451: Address already in use (98)",
    },
  ],
  [
    "an address that the box has not, or not yet",
    exit(1),
    ["[.] Binding service [leg0] to 10.9.9.9:23451: Cannot assign requested address (99)"],
    { class: "no-such-address", retry: "backoff", evidence: expect.stringContaining("10.9.9.9:23451") },
  ],
  [
    "an option that this stunnel does not know",
    exit(1),
    [
      '[!] /var/lib/sluice/stunnel.conf:11: "bogus = 1": Specified option name is not valid here',
      "[!] Configuration failed",
    ],
    {
      class: "bad-arguments",
      retry: "long",
      evidence: '/var/lib/sluice/stunnel.conf:11: "bogus = 1": Specified option name is not valid here',
    },
  ],
  [
    "a key that cannot be read",
    exit(1),
    ["[!] PSKsecrets line 1: Not a hexadecimal key", "[!] Configuration failed"],
    { class: "bad-key", retry: "long", evidence: "PSKsecrets line 1: Not a hexadecimal key" },
  ],
  [
    "a signal, whatever it said before",
    exit(null, "SIGKILL"),
    [...STARTED, "[!] Configuration failed"],
    { class: "killed", retry: "backoff" },
  ],
  [
    "an adopted one whose status nobody knows, by nothing that it said of connections",
    exit(null),
    [...STARTED, "2026.01.15 10:30:45 LOG3[1]: s_connect: connect 10.0.0.7:554: Connection refused (111)"],
    { class: "exited", retry: "backoff" },
  ],
])("tells %s", (_title, ended, output, verdict) => {
  expect(classifyTunnelExit(ended, output)).toEqual(verdict);
});
