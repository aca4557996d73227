import type { BoxConnection } from "../../contract/fleet/box-view.ts";
import { matchesSelector, parseSelector } from "../../contract/fleet/selector.ts";
import type { Placement, SessionWish } from "../../contract/fleet/session.ts";
import type { SessionPlatformName } from "../../contract/session-spec.ts";
import type { SessionFacts } from "../../contract/session-status.ts";
import type { Box } from "../store/box.ts";
import { ROOM_RULES, roomProblem, type Seat, type Seats, seatOf, totalsOf } from "./seats.ts";

/** A box, as far as it matters to where a session goes. */
export interface BoxOffer extends Pick<Box, "id" | "state" | "draining" | "labels"> {
  readonly isQuarantined: boolean;
  readonly connection: BoxConnection;
  /** Absent: its agent tells nothing of sessions. */
  readonly facts: SessionFacts | undefined;
  /** Which process of its agent told that. */
  readonly run: string | undefined;
  /** What other sessions have there. */
  readonly seats: Seats;
}

export type Choice = Pick<Placement, "box" | "reason" | "passedOver">;

/** In the order in which they are asked: who fails a later one is nearer. */
const RULES = [
  "state",
  "quarantine",
  "select",
  "facts",
  "platform",
  "avoid",
  "draining",
  "connection",
  "place",
  ...ROOM_RULES,
] as const;

interface Problem {
  readonly rule: (typeof RULES)[number];
  readonly reason: string;
}

const MAX_TOLD = 100;

/**
 * Pure. Of the boxes that can take the session the one with the fewest sessions, the first by its id where several have as few. A
 * box that is named in the wish need not be there yet: what it is told waits for it. `avoid`: boxes that are out of the question, with
 * the reason.
 */
export function chooseBox(
  wish: SessionWish,
  offers: readonly BoxOffer[],
  { avoid }: { readonly avoid: ReadonlyMap<string, string> },
): Choice {
  const asked = wish.box === undefined ? offers : offers.filter(({ id }) => id === wish.box);
  const asking: Asking = { wish, seat: seatOf(wish), isSelected: selectorOf(wish), avoid };
  const judged = asked.map(withoutOwn(wish)).map((offer) => ({ offer, problem: problemOf(offer, asking) }));
  const fit = judged
    .filter(({ problem }) => problem === undefined)
    .map(({ offer }) => ({ id: offer.id, count: totalsOf(offer.seats).count }))
    .sort((one, other) => one.count - other.count || (one.id < other.id ? -1 : 1));
  const passed = judged
    .flatMap(({ offer, problem }) => (problem === undefined ? [] : [{ box: offer.id, ...problem }]))
    .sort((one, other) => RULES.indexOf(other.rule) - RULES.indexOf(one.rule) || (one.box < other.box ? -1 : 1));
  const [first, ...others] = fit;
  if (first === undefined) {
    const told = passed.slice(0, MAX_TOLD).map(({ box, reason }) => ({ box, reason }));
    return { reason: noneReason(wish, offers, told[0]), passedOver: told };
  }
  const more = others.slice(0, MAX_TOLD).map(({ id, count }) => ({ box: id, reason: laterReason(count, first) }));
  const passedOver = [...more, ...passed.map(({ box, reason }) => ({ box, reason }))].slice(0, MAX_TOLD);
  return { box: first.id, reason: takenReason(wish, first.count, others.length), passedOver };
}

/** A seat of its own, which an earlier attempt has left, counts neither for nor against a box. */
function withoutOwn({ id }: SessionWish) {
  return (offer: BoxOffer): BoxOffer => {
    if (!Object.hasOwn(offer.seats, id)) return offer;
    const { [id]: _own, ...seats } = offer.seats;
    return { ...offer, seats };
  };
}

/** What is asked of every box alike. */
interface Asking {
  readonly wish: SessionWish;
  readonly seat: Seat;
  readonly isSelected: (labels: Readonly<Record<string, string>>) => boolean;
  readonly avoid: ReadonlyMap<string, string>;
}

function problemOf(offer: BoxOffer, { wish, seat, isSelected, avoid }: Asking): Problem | undefined {
  const { id, state, isQuarantined, labels, connection, draining, facts, seats } = offer;
  const isNamed = wish.box !== undefined;
  if (state !== "approved") return { rule: "state", reason: `it is ${state}` };
  if (isQuarantined)
    return { rule: "quarantine", reason: "it is kept away from its workloads: another uses its identity" };
  if (!isSelected(labels)) return { rule: "select", reason: `its labels do not match ${wish.select}` };
  if (!isNamed) {
    if (facts === undefined) return { rule: "facts", reason: "it does not tell what sessions it can run" };
    const platform = platformProblem(wish, facts);
    if (platform !== undefined) return { rule: "platform", reason: platform };
  }
  const avoided = avoid.get(id);
  if (avoided !== undefined) return { rule: "avoid", reason: avoided };
  if (draining) return { rule: "draining", reason: "it is draining" };
  if (!isNamed && connection !== "online") return { rule: "connection", reason: `it is ${connectionText(connection)}` };
  return roomProblem(seat, seats, facts);
}

/** Pure. Whether the wish leaves the box open by its labels. */
export function isSelected(wish: SessionWish, labels: Readonly<Record<string, string>>): boolean {
  return selectorOf(wish)(labels);
}

function selectorOf({ select }: SessionWish): Asking["isSelected"] {
  const parsed = parseSelector(select ?? "");
  return (labels) => parsed.ok && matchesSelector(labels, parsed.requirements);
}

function platformProblem({ platform, template }: SessionWish, { platforms }: SessionFacts): string | undefined {
  const suits = (name: SessionPlatformName) =>
    platform === undefined ? (name === "process") === (template.image === undefined) : name === platform;
  const suiting = platforms.filter((one) => suits(one.platform));
  if (suiting.some(({ isReady }) => isReady)) return undefined;
  const [away] = suiting;
  if (away !== undefined)
    return `${away.platform} is not ready there${away.reason === undefined ? "" : `: ${away.reason}`}`;
  const wanted = platform ?? (template.image === undefined ? "the platform process" : "a platform for images");
  const has = platforms.map((one) => one.platform).join(", ");
  return `it has no ${wanted.replace(/^(?:the|a) /, "")}; it has ${has === "" ? "none" : has}`;
}

function connectionText(connection: BoxConnection): string {
  return connection === "never" ? "not heard yet" : connection;
}

function laterReason(count: number, first: { readonly id: string; readonly count: number }): string {
  return count === first.count
    ? `it has as few sessions as ${first.id} (${count}), which comes first`
    : `it has more sessions (${count}) than ${first.id} (${first.count})`;
}

function takenReason({ box }: SessionWish, count: number, others: number): string {
  if (box !== undefined) return "the wish names it";
  if (others === 0) return "it is the only one that can take it";
  return `of ${others + 1} that can take it, it has the fewest sessions (${count})`;
}

function noneReason(
  { box }: SessionWish,
  offers: readonly BoxOffer[],
  nearest: { readonly box: string; readonly reason: string } | undefined,
): string {
  if (box !== undefined) {
    const named = nearest?.box === box ? nearest.reason : "there is no such box";
    return `${box} cannot take it: ${named}`;
  }
  if (nearest === undefined) return "there is no box";
  const boxes = offers.length === 1 ? "the one box" : `none of ${offers.length} boxes`;
  const verb = offers.length === 1 ? "cannot" : "can";
  return `${boxes} ${verb} take it; nearest is ${nearest.box}: ${nearest.reason}`;
}
