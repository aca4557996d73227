import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { expect, it } from "vitest";
import { signToken } from "../../contract/signed-token.ts";
import type { TransferTicket } from "../../contract/transfer/transfer-ticket.ts";
import { createTicketChecker } from "./check-ticket.ts";

const NOW_SECONDS = 1_800_000_000;
const [own, foreign] = [generateKeyPairSync("ed25519"), generateKeyPairSync("ed25519")];
const claims: TransferTicket = {
  aud: "sluice-transfer",
  rid: "r",
  lease: "lease",
  att: 1,
  src: "box-a",
  dst: "box-b",
  storage: "s",
  root: "tree",
  scope: "0".repeat(64),
  cert: "c".repeat(64),
  iat: NOW_SECONDS,
  exp: NOW_SECONDS + 600,
};
const sign = (more: object = {}, privateKey: KeyObject = own.privateKey, id = "k1") =>
  signToken({ ...claims, ...more }, { id, privateKey });
const publicOf = (kid: string, key: KeyObject) => {
  const { x = "" } = key.export({ format: "jwk" });
  return { kty: "OKP", crv: "Ed25519", x, kid, use: "sig", alg: "EdDSA" } as const;
};

/** At box A. `certificate`: what who dialled has shown; `null`: nothing is shown, in the clear. */
function opens(ticket: string, role: "src" | "dst" = "src", certificate: string | null = "c".repeat(64)): boolean {
  const checker = createTicketChecker({ workerId: "box-a", nowSeconds: () => NOW_SECONDS });
  checker.keys([publicOf("k1", own.publicKey)]);
  try {
    return checker.check(ticket, role, certificate ?? undefined).lease === "lease";
  } catch (thrown) {
    expect(thrown).toMatchObject({ code: "denied" });
    return false;
  }
}

it("a ticket opens what it says, for who it names, at the place that it names, in its time", () => {
  expect(opens(sign())).toBe(true);
  expect(opens(sign({ src: "box-b", dst: "box-a" }))).toBe(false);
  expect(opens(sign({ src: "box-b", dst: "box-a" }), "dst")).toBe(true);
  // Who is to send takes nothing by it.
  expect(opens(sign(), "dst")).toBe(false);
  expect(opens(sign(), "src", "d".repeat(64))).toBe(false);
  // In the clear nobody shows one: such a network is trusted by configuration.
  expect(opens(sign(), "src", null)).toBe(true);
  expect(opens(sign({ iat: NOW_SECONDS - 700, exp: NOW_SECONDS - 100 }))).toBe(false);
  expect(opens(sign({ iat: NOW_SECONDS + 100, exp: NOW_SECONDS + 700 }))).toBe(false);
});

it("a ticket that is changed, of another key or for something else opens nothing", () => {
  const ticket = sign();
  const [head = "", , signature = ""] = ticket.split(".");
  const body = Buffer.from(JSON.stringify({ ...claims, root: "" })).toString("base64url");
  expect(opens(`${head}.${body}.${signature}`)).toBe(false);
  expect(opens(`${head}.${ticket.split(".")[1]}.`)).toBe(false);
  expect(opens(sign({}, foreign.privateKey))).toBe(false);
  expect(opens(sign({}, foreign.privateKey, "k2"))).toBe(false);
  expect(opens(sign({ aud: "router-1" }))).toBe(false);
  const unsigned = Buffer.from(JSON.stringify({ alg: "none", typ: "JWT", kid: "k1" })).toString("base64url");
  expect(opens(`${unsigned}.${ticket.split(".")[1]}.${signature}`)).toBe(false);
});

it("with a key that the hub does not name any more nothing is opened", () => {
  const checker = createTicketChecker({ workerId: "box-a", nowSeconds: () => NOW_SECONDS });
  const check = (key: KeyObject, id: string) => () => checker.check(sign({}, key, id), "src", undefined);
  expect(check(own.privateKey, "k1")).toThrow(/does not know/);
  checker.keys([publicOf("k1", own.publicKey), publicOf("k2", foreign.publicKey)]);
  check(own.privateKey, "k1")();
  checker.keys([publicOf("k2", foreign.publicKey)]);
  check(foreign.privateKey, "k2")();
  expect(check(own.privateKey, "k1")).toThrow(expect.objectContaining({ code: "denied" }));
});
