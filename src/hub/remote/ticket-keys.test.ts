import { expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createMemoryLog } from "../../base/log.ts";
import { readTicket, signTicket, type TicketClaims } from "../../contract/remote/ticket.ts";
import { createSecretBox } from "../auth/secret-box.ts";
import { memoryStore } from "../live-hub.fake.ts";
import { createTicketKeys, KEY_TIMES, TICKET_KEYS_KIND } from "./ticket-keys.ts";

const store = memoryStore();
const clock = createFakeClock();
let last = 0;

function keysOf(secret: number | undefined, log = createMemoryLog()) {
  const secrets = secret === undefined ? undefined : createSecretBox(Buffer.alloc(32, secret));
  const newSecret = () => `key-${String(++last).padStart(12, "0")}`;
  return createTicketKeys({ store, clock, random: () => 0.5, secrets, newSecret, log });
}

const nowSeconds = () => Math.floor(clock.wallMs() / 1000);
const claims = (): TicketClaims => ({
  sid: "s",
  side: "box",
  box: "north-1",
  sub: "anna",
  op: "exec",
  aud: "hub-1",
  iat: nowSeconds(),
  exp: nowSeconds() + 90,
  jti: "0123456789abcdef",
  idle: 60,
  max: 60,
});

test("hubs sign with one key, which is told before it signs and known until its last ticket is over", async () => {
  const one = keysOf(1);
  const other = keysOf(1);
  const first = (await one.signing()).id;
  expect((await other.signing()).id).toBe(first);
  const accepts = (ticket: string) => readTicket(ticket, { keyOf: other.publicKey, nowSeconds: nowSeconds() }).sid;
  expect(accepts(signTicket(claims(), await one.signing()))).toBe("s");
  // Nothing of it can be read in the store.
  const [held] = (await store.objects.list(TICKET_KEYS_KIND, { limit: 10 })).items;
  expect(JSON.stringify(held)).not.toContain("PRIVATE");

  await clock.advance(KEY_TIMES.signsMs - KEY_TIMES.toldMs);
  await one.refresh();
  await other.refresh();
  expect((await other.list()).length).toBe(2);
  expect((await one.signing()).id).toBe(first);
  const old = signTicket({ ...claims(), exp: nowSeconds() + 3600 }, await one.signing());
  await clock.advance(KEY_TIMES.toldMs);
  const second = (await one.signing()).id;
  expect(second).not.toBe(first);
  expect(accepts(signTicket(claims(), await one.signing()))).toBe("s");
  expect(accepts(old)).toBe("s");
  await clock.advance(KEY_TIMES.keptMs + 1000);
  await one.refresh();
  await other.refresh();
  expect(() => accepts(old)).toThrow("a key that this router does not know");
  expect((await one.list()).map(({ kid }) => kid)).toEqual([second]);
});

test("a hub whose key file is another one makes keys of its own, and one without says what it needs", async () => {
  const log = createMemoryLog();
  const stranger = keysOf(2, log);
  const held = new Set((await keysOf(1).list()).map(({ kid }) => kid));
  expect(held.has((await stranger.signing()).id)).toBe(false);
  expect(log.lines.join()).toContain("cannot be read, so another one is made");
  // Tickets of either are good at both.
  expect((await stranger.list()).length).toBe(2);
  await expect(keysOf(undefined).signing()).rejects.toMatchObject({ code: "unsupported", field: "secrets.keyFile" });
});
