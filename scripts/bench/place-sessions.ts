import type { SessionWish } from "../../src/contract/fleet/session.ts";
import type { SessionFacts } from "../../src/contract/session-status.ts";
import { type BoxOffer, chooseBox } from "../../src/hub/sessions/choose-box.ts";
import { seatOf } from "../../src/hub/sessions/seats.ts";
import type { Measurement } from "./measurement.ts";

const BOXES = 1000;
const SESSIONS = 10_000;
const FACTS: SessionFacts = {
  platforms: [
    { platform: "docker", isReady: true },
    { platform: "process", isReady: true },
  ],
  cores: 16,
  memoryBytes: 64e9,
  maxSessions: 100,
};

/** The hub's choice of a box, one session after the other, each with the seats that those before it have taken. */
export const placeSessions: Measurement = {
  name: "place-sessions",
  limitMs: 600_000,
  measure: async ({ note }) => {
    const offers = new Map(Array.from({ length: BOXES }, (_none, index) => entryOf(index)));
    const samples: number[] = [];
    const beganUs = process.cpuUsage();
    for (let index = 0; index < SESSIONS; index++) {
      const wish = wishOf(index);
      const startMs = performance.now();
      const { box = "" } = chooseBox(wish, [...offers.values()], { avoid: new Map() });
      samples.push(performance.now() - startMs);
      const offer = offers.get(box);
      if (offer === undefined) throw new RangeError(`session ${wish.id} was placed nowhere`);
      offers.set(box, { ...offer, seats: { ...offer.seats, [wish.id]: seatOf(wish) } });
    }
    const { user, system } = process.cpuUsage(beganUs);
    note(`place-sessions: ${Math.round((user + system) / 1000)} ms of processor time for all ${SESSIONS}`);
    return [{ what: "choice of a box out of 1 000, 10 000 times, half of them by a label", unit: "ms", samples }];
  },
};

function entryOf(index: number): readonly [string, BoxOffer] {
  const id = `box-${String(index).padStart(4, "0")}`;
  const labels = { zone: index % 2 === 0 ? "a" : "b" };
  const common = { draining: false, isQuarantined: false, facts: FACTS, run: "run", seats: {} };
  return [id, { id, state: "approved", connection: "online", labels, ...common }];
}

function wishOf(index: number): SessionWish {
  return {
    id: `session-${index}`,
    user: "anna",
    template: { image: "nginx:1" },
    resources: { cpu: "500m", memory: "512Mi" },
    ...(index % 2 === 0 ? {} : { select: "zone=a" }),
  };
}
