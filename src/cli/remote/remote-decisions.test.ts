import { expect, test } from "vitest";
import { AppError } from "../../base/errors.ts";
import { ERROR_POLICY } from "../../contract/error-code.ts";
import { CARRIER_END_REASONS } from "../../remote/carrier.ts";
import type { RawTerminal } from "./console.ts";
import { planExec } from "./exec-flags.ts";
import { createFlowTable } from "./flow-table.ts";
import { judgeCarrierEnd, judgeRejoin } from "./judge-carrier-end.ts";
import { failureOf, REMOTE_EXIT } from "./remote-failure.ts";
import { parseRshCall } from "./rsh-arguments.ts";
import { checkRsyncArguments, quoteRsh } from "./rsync-arguments.ts";

test("a link that broke is resumed; what was decided is over", () => {
  const kinds = Object.fromEntries(
    CARRIER_END_REASONS.map((reason) => {
      const verdict = judgeCarrierEnd({ reason, message: "why" });
      return [reason, verdict.kind === "resume" ? "resume" : verdict.failure.kind];
    }),
  );
  expect(kinds).toEqual({
    "peer-done": "resume",
    "peer-lost": "resume",
    refused: "denied",
    "rendezvous-timeout": "resume",
    replaced: "lost",
    idle: "lost",
    "max-age": "lost",
    tampered: "lost",
    terminated: "lost",
    draining: "resume",
    protocol: "usage",
    broken: "resume",
  });
});

test("coming back is tried again unless the answer is final", () => {
  const isFinal = Object.keys(ERROR_POLICY).filter((code) => judgeRejoin(new AppError(code, "m")).kind === "over");
  expect(isFinal.sort()).toEqual(
    [
      "cancelled",
      "conflict",
      "invalid",
      "not-found",
      "refused",
      "too-large",
      "unauthorized",
      "unsupported",
      "version",
    ].sort(),
  );
});

test("what goes wrong before anything began has an exit status of ours", () => {
  const exitOf = (code: string) => REMOTE_EXIT[failureOf(new AppError(code, "m")).kind];
  expect(["refused", "unauthorized"].map(exitOf)).toEqual([253, 253]);
  expect(["unavailable", "timeout", "rate-limited", "store-unavailable", "exhausted"].map(exitOf)).toEqual(
    Array(5).fill(252),
  );
  expect(["invalid", "not-found", "unsupported", "config", "internal"].map(exitOf)).toEqual(Array(5).fill(254));
});

const terminal: RawTerminal = {
  type: "xterm",
  size: () => ({ cols: 80, rows: 24 }),
  onResize: () => () => undefined,
  makeRaw: () => () => undefined,
};
const plain = { env: { HOME: "/h" }, terminal: undefined, isInputTerminal: false };

test("a terminal is read only when asked for, a pipe always unless told not to", () => {
  const reads = (flags: Parameters<typeof planExec>[0], given: Partial<Parameters<typeof planExec>[2]> = {}) =>
    planExec(flags, ["x"], { ...plain, ...given }).what.stdin;
  expect(reads({})).toBe(true);
  expect(reads({ stdin: false })).toBe(false);
  expect(reads({}, { isInputTerminal: true, terminal })).toBe(false);
  expect(reads({ interactive: true }, { isInputTerminal: true, terminal })).toBe(true);
  expect(reads({ tty: true }, { isInputTerminal: true, terminal })).toBe(true);
  expect(reads({ detach: true })).toBe(false);
});

test("what cannot be together is refused in words", () => {
  expect(() => planExec({ tty: true }, ["x"], plain)).toThrow("-t: standard input and output must be a terminal");
  expect(() => planExec({ detach: true, interactive: true }, ["x"], plain)).toThrow("--detach");
  expect(() => planExec({ detach: true }, [], plain)).toThrow("name the command");
  expect(() => planExec({ env: ["1A=x"] }, ["x"], plain)).toThrow('--env: given "1A"');
  expect(() => planExec({ env: ["NONE"] }, ["x"], plain)).toThrow("NONE is not set here");
  expect(planExec({ env: ["HOME", "A=b=c"] }, ["x"], plain).what.env).toEqual({ HOME: "/h", A: "b=c" });
});

test("a shell begins where it is told to", () => {
  const { operation, what } = planExec({ cwd: "/x" }, [], plain);
  expect([operation, what.cwd]).toEqual([{ kind: "shell", pty: false, cwd: "/x" }, "/x"]);
});

test("a shell has a terminal where there is one, and none where its input is a pipe", () => {
  expect(planExec({}, [], { ...plain, terminal, isInputTerminal: true }).operation).toEqual({
    kind: "shell",
    pty: true,
  });
  expect(planExec({ user: "ops" }, [], plain).operation).toEqual({ kind: "shell", pty: false, user: "ops" });
});

test("peers have flows; the one that was quiet for longest makes room, and no number comes twice", () => {
  const flows = createFlowTable<string>((peer) => peer, { most: 2, idleMs: 100 });
  expect([flows.flowOf("a", 0), flows.flowOf("b", 1), flows.flowOf("a", 2), flows.flowOf("c", 3)]).toEqual([
    1, 2, 1, 3,
  ]);
  expect([flows.peerOf(1, 3), flows.peerOf(2, 3), flows.peerOf(3, 3), flows.evicted]).toEqual(["a", undefined, "c", 1]);
  expect(flows.peerOf(1, 103)).toBeUndefined();
  expect(flows.flowOf("a", 104)).toBe(4);
  expect(flows.size).toBe(1);
});

test("rsync's call is taken apart; shells are refused in words", () => {
  const argv = ["rsync", "--server", "-vlogDtpre.iLsfxCIvu", ".", "/srv"];
  expect(parseRshCall(["north-1", ...argv])).toEqual({ box: "north-1", argv, user: undefined });
  for (const user of [["-l", "bob"], ["-lbob"]]) {
    expect(parseRshCall([...user, "--", "north-1", ...argv])).toEqual({ box: "north-1", argv, user: "bob" });
  }
  expect(() => parseRshCall(["-l"])).toThrow("-l: name a user");
  expect(() => parseRshCall(["north-1"])).toThrow("sluice exec north-1");
  expect(() => parseRshCall([])).toThrow("name a box");
});

test("rsync's options go through, but none that leads past the box", () => {
  checkRsyncArguments(["-a", "--delete", "--exclude", "-e.txt", "a", "north-1:/b"]);
  for (const word of ["-e", "--rsh=ssh", "--rsh"])
    expect(() => checkRsyncArguments([word])).toThrow("reaches boxes by itself");
  for (const word of ["north-1::module", "rsync://north-1/x"])
    expect(() => checkRsyncArguments([word])).toThrow("allowed: BOX:PATH");
  expect(quoteRsh(["/usr/bin/node", "/opt/my app/main.js", "rsh"])).toBe('/usr/bin/node "/opt/my app/main.js" rsh');
  expect(quoteRsh(['/a"b c'])).toBe(`'/a"b c'`);
  expect(() => quoteRsh([`a'b"c`])).toThrow("both kinds of quotes");
});
