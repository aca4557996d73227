/**
 * A router without a hub, in a process of its own: the sessions that it may have as argument. Says its address, and a ticket for each end of
 * each session, as a line of JSON.
 */
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { systemClock } from "../../../src/base/clock.ts";
import { createMemoryLog } from "../../../src/base/log.ts";
import { signTicket } from "../../../src/contract/remote/ticket.ts";
import { createRouter, ROUTER_DEFAULTS } from "../../../src/router/router-server.ts";

const ID = "router-1";
const SECONDS = 3600;

const sessions = Number(process.argv[2]);
const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const router = createRouter(
  { ...ROUTER_DEFAULTS, id: ID, hasLanes: false, limits: { sessions, sessionsPerOperator: sessions } },
  { clock: systemClock, log: createMemoryLog(), ticketKeys: { get: () => publicKey } },
);
const server = createServer({ noDelay: true }, router.serve).listen(0, "127.0.0.1");
await once(server, "listening");
const iat = Math.floor(systemClock.wallMs() / 1000);
const ticketOf = (sid: string, side: "operator" | "box") =>
  signTicket(
    {
      ...{ sid, side, box: "box-1", sub: "anna", op: "exec", aud: ID, iat, exp: iat + SECONDS },
      ...{ jti: randomUUID(), idle: SECONDS, max: SECONDS },
    },
    { id: "key-1", privateKey },
  );
const tickets = Array.from({ length: sessions }, (_none, index) => ({
  operator: ticketOf(`session-${index}`, "operator"),
  box: ticketOf(`session-${index}`, "box"),
}));
console.log(JSON.stringify({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, tickets }));
