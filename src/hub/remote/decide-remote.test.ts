import { expect, test } from "vitest";
import type { RouterChange } from "../../contract/fleet/router.ts";
import { decideParted, decideRemote, type RemoteFacts } from "./decide-remote.ts";
import { newRemoteId, type Remote, shortened } from "./remote-record.ts";

const NOW = Date.parse("2026-01-15T10:30:45Z");

function remoteOf(given: Partial<Remote> = {}): Remote {
  return {
    id: "r",
    revision: 1,
    box: "north-1",
    tokenId: "t",
    operator: "anna",
    operation: { kind: "exec", argv: ["true"], pty: false, detach: false },
    state: "waiting",
    reason: "why",
    sinceMs: NOW,
    createdMs: NOW,
    askedMs: NOW,
    router: "hub-1",
    attempt: 1,
    nonce: "n",
    seal: false,
    limits: { idleSeconds: 60, maxSeconds: 1000, resumeSeconds: 300 },
    bytesToBox: 0,
    bytesFromBox: 0,
    pairToBox: 0,
    pairFromBox: 0,
    ...given,
  };
}
const DETACHED: Remote["operation"] = { kind: "exec", argv: ["sleep"], pty: false, detach: true };

const after = (seconds: number, given: Partial<Remote> = {}, facts: Partial<RemoteFacts> = {}) =>
  decideRemote(remoteOf(given), {
    nowMs: NOW + seconds * 1000,
    operatorProblem: undefined,
    boxProblem: undefined,
    isRouterLive: true,
    ...facts,
  });

test("nobody is waited for longer than a minute and the router's margin", () => {
  expect(after(70)).toBeUndefined();
  expect(after(71)).toEqual({ kind: "end", reason: "its ends did not meet within 60 s" });
  // One that was together before may come together again.
  expect(after(71, { attempt: 2 })?.kind).toBe("break");
});

test("a broken session waits for its operator, and a detached command needs none", () => {
  expect(after(300, { state: "broken" })).toBeUndefined();
  expect(after(301, { state: "broken" })?.reason).toBe("why, and it was not resumed within 300 s");
  expect(after(999, { state: "broken", operation: DETACHED })).toBeUndefined();
  expect(after(1001, { state: "broken", operation: DETACHED })?.kind).toBe("end");
});

test("a detached command is over when its box says so, unless its operator is there and hears it", () => {
  const endOnBox = "its command has ended with exit status 3";
  const ended = { kind: "end", reason: endOnBox, isBoxs: true };
  expect(after(1, { state: "broken", operation: DETACHED }, { endOnBox })).toEqual(ended);
  expect(after(1, { state: "open", operation: DETACHED }, { endOnBox })).toBeUndefined();
  expect(after(1, { state: "broken" }, { endOnBox })).toBeUndefined();
});

test("who has let go of a detached command has not lost it, however the router saw them leave", () => {
  const lost = {
    id: "r",
    what: "parted",
    reason: "peer-lost",
    message: "gone",
    bytesToBox: 0,
    bytesFromBox: 0,
  } as const;
  const of = (by: "operator" | "box", operation?: Remote["operation"]) =>
    decideParted(remoteOf({ state: "open", ...(operation === undefined ? {} : { operation }) }), { ...lost, by })
      ?.reason;
  expect(of("operator", DETACHED)).toBe("its operator is gone, and it goes on");
  expect(of("box", DETACHED)).toBe("the connection of the box is lost");
  expect(of("operator")).toBe("the connection of the operator is lost");
});

test("an open session ends at its age, its router first, and breaks with its router", () => {
  expect(after(1010, { state: "open" })).toBeUndefined();
  expect(after(1011, { state: "open" })?.reason).toBe("it has lasted as long as it may (1000 s)");
  expect(after(1, { state: "open" }, { isRouterLive: false })).toEqual({
    kind: "break",
    reason: "its router hub-1 is gone",
  });
  expect(after(1, { state: "open" }, { boxProblem: "box north-1 is revoked" })?.kind).toBe("end");
});

type Parted = Extract<RouterChange, { what: "parted" }>;
const parted = (given: Pick<Parted, "reason"> & Partial<Parted>, remote: Partial<Remote> = {}) =>
  decideParted(remoteOf({ state: "open", ...remote }), {
    id: "r",
    what: "parted",
    message: "so it was",
    bytesToBox: 0,
    bytesFromBox: 0,
    ...given,
  });

test("what a router tells of a parting ends a session, breaks it, or neither", () => {
  expect(parted({ reason: "peer-done" })).toEqual({ kind: "end", reason: "so it was" });
  expect(parted({ reason: "peer-done", by: "box" })?.reason).toBe("the box has closed it");
  for (const by of ["operator", "box"] as const) {
    expect(parted({ reason: "peer-done", by }, { operation: DETACHED })?.kind).toBe("break");
  }
  expect(parted({ reason: "peer-lost", by: "box" })).toEqual({
    kind: "break",
    reason: "the connection of the box is lost",
  });
  expect(parted({ reason: "draining" })?.kind).toBe("break");
  expect(parted({ reason: "rendezvous-timeout" }, { state: "waiting" })?.kind).toBe("end");
  expect(parted({ reason: "rendezvous-timeout" }, { state: "waiting", attempt: 2 })?.kind).toBe("break");
  expect(parted({ reason: "replaced" })).toBeUndefined();
  for (const reason of ["idle", "max-age", "terminated", "protocol"] as const) {
    expect(parted({ reason })).toEqual({ kind: "end", reason: "so it was" });
  }
});

test("a later session sorts before an earlier one", () => {
  const ids = [0, 1, 2, 40, 100_000].map((seconds) => newRemoteId(NOW + seconds * 1000, "abcdefgh"));
  expect([...ids].sort()).toEqual([...ids].reverse());
  for (const id of ids) expect(id).toMatch(/^[0-9a-z]{13}$/);
});

test("what is kept of a session that is over is bounded", () => {
  const argv = Array.from({ length: 1000 }, () => "x".repeat(1000));
  const kept = shortened({ kind: "exec", argv, pty: false, detach: false });
  expect(JSON.stringify(kept).length).toBeLessThan(10_000);
  expect(kept.kind === "exec" && kept.argv.at(-1)).toBe("… 1000 in all");
});
