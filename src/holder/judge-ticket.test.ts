import { expect, test } from "vitest";
import type { RemoteOperation } from "../contract/remote/operation.ts";
import type { TicketClaims } from "../contract/remote/ticket.ts";
import { createProofHub, newKeyPair } from "../remote/proof-hub.fake.ts";
import { type ExpectedOperator, judgeTicket } from "./judge-ticket.ts";

const hub = createProofHub();
const { key } = newKeyPair();
const OPERATION: RemoteOperation = { kind: "exec", argv: ["/usr/bin/uptime"], pty: false, detach: false };
const OFFER = {
  session: "s-1",
  attempt: 2,
  operator: "ann",
  operation: OPERATION,
  router: { id: "router-1", url: "https://router.example" },
};
const ISSUED = hub.proof().issuedAt;

function expected(given: Partial<ExpectedOperator> = {}): ExpectedOperator {
  return {
    offer: OFFER,
    proof: hub.proof(),
    box: "edge-001",
    nowSeconds: ISSUED,
    spent: new Set(),
    ...given,
  };
}
const ticketFor = (claims: Partial<TicketClaims> = {}, seal = false) =>
  hub.ticketFor(OFFER, { box: "edge-001", key, seal }, claims);

test("a ticket as the hub makes it lets in who holds its key", () => {
  const proven = judgeTicket(ticketFor({ jti: "0123456789abcdef" }), expected());
  expect(proven).toEqual({ id: "0123456789abcdef", operatorKey: key });
  expect(judgeTicket(ticketFor({}, true), expected({ proof: hub.proof(true) })).operatorKey).toBe(key);
});

test.each<[string, Partial<TicketClaims>, Partial<ExpectedOperator>, RegExp]>([
  ["of another box", { box: "edge-002" }, {}, /another box/],
  ["of another session", { sid: "s-2" }, {}, /another session/],
  ["of an earlier attempt", { att: 1 }, {}, /another attempt/],
  ["of no attempt", { att: undefined }, {}, /another attempt/],
  ["of another operator", { sub: "eve" }, {}, /another operator/],
  ["of the box's own side", { side: "box" }, {}, /another side/],
  ["that controls a router", { side: "control" }, {}, /another side/],
  ["for another router", { aud: "router-2" }, {}, /another router/],
  ["without an operation", { oph: undefined }, {}, /another operation/],
  ["of a sealed session, where the box was told otherwise", { seal: true }, {}, /another way/],
  ["of an open session, where the box was told to seal", {}, { proof: hub.proof(true) }, /another way/],
  ["without a key", { opk: undefined }, {}, /names no key/],
  ["that is over", { iat: ISSUED - 200, exp: ISSUED - 100 }, {}, /ended 100 s ago/],
  ["that is over by the time it is shown", {}, { nowSeconds: ISSUED + 500 }, /ended/],
  ["that has not begun", { iat: ISSUED + 100, exp: ISSUED + 200 }, {}, /begins in/],
])("one %s is refused", (_what, claims, given, message) => {
  expect(() => judgeTicket(ticketFor(claims), expected(given))).toThrow(message);
});

test.each<[string, RemoteOperation]>([
  ["another program", { ...OPERATION, argv: ["/bin/sh"] }],
  ["another argument", { ...OPERATION, argv: ["/usr/bin/uptime", "-p"] }],
  ["arguments that are cut elsewhere", { ...OPERATION, argv: ["/usr/bin/uptime", ""] }],
  ["another user", { ...OPERATION, user: "root" }],
  ["another directory", { ...OPERATION, cwd: "/srv" }],
  ["a terminal", { ...OPERATION, pty: true }],
  ["a life without its operator", { ...OPERATION, detach: true }],
  ["another kind", { kind: "shell", pty: false }],
  ["a target", { kind: "forward", targets: [{ protocol: "tcp", host: "10.0.0.1", from: 22, to: 22 }] }],
  ["rsync with the same words", { kind: "rsync", argv: ["/usr/bin/uptime"] }],
])("one for an operation with %s is refused", (_what, operation) => {
  const ticket = hub.ticketFor({ ...OFFER, operation }, { box: "edge-001", key });
  expect(() => judgeTicket(ticket, expected())).toThrow(/another operation/);
});

test("one that was shown before is refused", () => {
  const ticket = ticketFor({ jti: "0123456789abcdef" });
  expect(() => judgeTicket(ticket, expected({ spent: new Set(["0123456789abcdef"]) }))).toThrow(/shown before/);
});

test("only keys that the hub itself has told count, whatever a router says of others", () => {
  const other = createProofHub();
  const forged = other.ticketFor(OFFER, { box: "edge-001", key });
  // The same name, and another key.
  expect(() => judgeTicket(forged, expected())).toThrow(/signature is wrong/);
  const unknown = createProofHub("key-9").ticketFor(OFFER, { box: "edge-001", key });
  expect(() => judgeTicket(unknown, expected())).toThrow(/key that this box does not know/);
  // The next key is told before it signs.
  const proof = { ...hub.proof(), keys: [hub.jwk, { ...other.jwk, kid: "key-2" }] };
  const next = createProofHub("key-2");
  expect(() => judgeTicket(next.ticketFor(OFFER, { box: "edge-001", key }), expected({ proof }))).toThrow(/signature/);
  const broken = { ...hub.proof(), keys: [{ ...hub.jwk, x: "" }] };
  expect(() => judgeTicket(ticketFor(), expected({ proof: broken }))).toThrow(/key that this box does not know/);
});

test("no part of what was signed can be changed, and nothing that is no ticket is one", () => {
  const ticket = ticketFor();
  const [head = "", body = "", signature = ""] = ticket.split(".");
  const claims = JSON.parse(Buffer.from(body, "base64url").toString());
  const changed = Buffer.from(JSON.stringify({ ...claims, opk: newKeyPair().key })).toString("base64url");
  const none = Buffer.from(JSON.stringify({ alg: "none", kid: "key-1" })).toString("base64url");
  for (const text of [
    `${head}.${changed}.${signature}`,
    `${none}.${body}.${signature}`,
    `${none}.${body}.`,
    `${head}.${body}`,
    "",
    "x".repeat(100_000),
  ]) {
    let thrown: unknown;
    try {
      judgeTicket(text, expected());
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: "unauthorized" });
    expect(String(thrown)).not.toContain(signature);
  }
});
